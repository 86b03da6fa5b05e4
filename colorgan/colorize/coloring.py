"""Say how the frames of a film get their colours, and put together the stream that does it."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from colorgan.colorize.blending import by_strength
from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.finishing import finished
from colorgan.colorize.pipeline import Colored, SegmentEnd, ahead, color_stream
from colorgan.colorize.shot_list import ShotList
from colorgan.colorize.smoothing import ChromaSmoother
from colorgan.media.film_facts import FilmFacts, Frame


@dataclass(frozen=True)
class Coloring:
    """How the frames of a film get their colours.

    Attributes:
        colorizer: the trained generator.
        batch: frames that go through the network at once.
        smooth: weight of the frames beside, 0 for none.
        shots: what is done with which shot; None for the same with all.
        other: a second network, mixed in by the strengths of `shots`.
    """

    colorizer: Colorizer
    batch: int = 8
    smooth: float = 0.0
    shots: ShotList | None = None
    other: Colorizer | None = None

    def stream(
        self, frames: Iterator[Frame], facts: FilmFacts, state: dict[str, np.ndarray]
    ) -> Generator[Colored | SegmentEnd, None, None]:
        """Colorize frames that follow a segment's end; close the generator to end its threads.

        Args:
            frames: what is decoded.
            facts: of the film.
            state: of that segment's end; empty for none.
        """
        shots, other, one = self.shots, self.other, self.colorizer
        smoother = ChromaSmoother(strength=self.smooth, gray_rule=one.gray_rule) if self.smooth else None
        if smoother is not None and state:
            smoother.load_state(state)
        choose = by_strength(one, other, shots) if other and shots else lambda _: one
        sorted_out = frames if shots is None else _skipped(frames, shots, facts)
        stream = color_stream(sorted_out, choose, facts, batch_size=self.batch)
        if smoother is not None:
            cuts = {shot.start for shot in shots.shots if not shot.dissolve} if shots else set()
            stream = ahead(smoother.stream(stream, cuts), count=self.batch)
        return stream if shots is None else ahead(finished(stream, shots, facts), count=self.batch)


def _skipped(frames: Iterable[Frame], shots: ShotList, facts: FilmFacts) -> Iterator[Frame]:
    """Give the frames that are to be skipped their gray as the colours to keep."""
    for frame in frames:
        if shots.at(frame.number).do == "skip":
            yield frame._replace(rgb=np.repeat(facts.gray(frame.luma)[..., None], 3, axis=2))
        else:
            yield frame

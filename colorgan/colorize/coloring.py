"""Say how the frames of a film get their colours, and put together the stream that does it."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np

from colorgan.colorize.blending import by_strength
from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.finishing import finished
from colorgan.colorize.palette import Tones, repainted
from colorgan.colorize.pipeline import Colored, FrameColorizer, SegmentEnd, ahead, color_stream
from colorgan.colorize.references import References, referred, small_lumas
from colorgan.colorize.shot_list import ShotList
from colorgan.colorize.smoothing import ChromaSmoother
from colorgan.colorize.steady import SteadyColorizer, Way
from colorgan.media.fields import PROGRESSIVE
from colorgan.media.film_facts import FilmFacts, Frame

SMOOTH = 0.8  # averages over about nine frames: three quarters of the flicker go, no colour (docs/results.md)


@dataclass(frozen=True)
class Coloring:
    """How the frames of a film get their colours.

    Attributes:
        colorizer: the trained generator.
        batch: frames that go through the network at once.
        smooth: weight of the frames beside in a blind average, 0 for frame by frame; None for 0.8, but for interlaced
            film 0.
        shots: what is done with which shot; None for the same with all.
        other: a second network, mixed in by the strengths of `shots`.
        references: frames whose colours are known: told a network that takes hints, else laid over its colours.
        palettes: tones that a shot has and is to get, by its first frame.
        steady: by a network that takes hints: each frame is told the colours of those before, `forward`, or of those
            after, too, `both`, and nothing is averaged. For measurements: it was found worse (docs/results.md).
    """

    colorizer: Colorizer
    batch: int = 8
    smooth: float | None = None
    shots: ShotList | None = None
    other: Colorizer | None = None
    references: References | None = None
    palettes: Mapping[int, tuple[Tones, Tones]] = field(default_factory=dict)
    steady: Way | None = None

    def smoothing(self, facts: FilmFacts) -> float:
        """Say how much the frames beside weigh: what was asked for, or what is usual for such a film."""
        if self.smooth is None:  # the motion between woven fields is not known well
            return SMOOTH if facts.scan == PROGRESSIVE else 0.0
        return self.smooth

    def tells(self, facts: FilmFacts) -> bool:
        """Whether the network is told colours: by references, or as `steady` says."""
        able = self.colorizer.takes_hints and self.other is None and facts.scan == PROGRESSIVE
        return able and (self.steady is not None or self.references is not None)

    def choose(self, frame: Frame) -> FrameColorizer:
        """Choose what colorizes a frame."""
        return self._choose(frame)

    @cached_property
    def _choose(self) -> Callable[[Frame], FrameColorizer]:
        if self.other is None or self.shots is None:
            return lambda _: self.colorizer
        return by_strength(self.colorizer, self.other, self.shots)

    def stream(
        self,
        frames: Callable[[], Iterator[Frame]],
        facts: FilmFacts,
        state: dict[str, np.ndarray],
        *,
        before: int = 0,
    ) -> Generator[Colored | SegmentEnd, None, None]:
        """Colorize frames that follow a segment's end; close the generator to end its threads.

        Args:
            frames: decodes the film from its beginning; more than once where references are carried ahead.
            facts: of the film.
            state: of that segment's end; empty for none.
            before: frames that the segments before hold.
        """
        shots, rule = self.shots, self.colorizer.gray_rule
        cuts = {shot.start for shot in shots.shots if not shot.dissolve} if shots else set()
        rest = islice(frames(), before, None)
        sorted_out = rest if shots is None else _skipped(rest, shots, facts)
        known = None
        if self.references is not None:
            begin = self.references.first_frame(before + 1)
            lumas = small_lumas(islice(frames(), begin - 1, None), facts)
            known = ahead(self.references.known(lumas), count=self.batch)
        if self.tells(facts):
            decoded = ahead(sorted_out, count=self.batch)
            one = SteadyColorizer(self.colorizer, facts, cuts, carry=self.steady)
            stream = ahead(one.stream(decoded, known), count=self.batch)
        else:
            stream = color_stream(sorted_out, self.choose, facts, batch_size=self.batch)
            if known is not None:
                stream = ahead(referred(stream, known, rule), count=self.batch)
        if not self.steady and (smooth := self.smoothing(facts)):
            smoother = ChromaSmoother(strength=smooth, gray_rule=rule)
            smoother.load_state(state)
            stream = ahead(smoother.stream(stream, cuts), count=self.batch)
        if shots is None:
            return stream
        painted = repainted(stream, shots, self.palettes, rule) if self.palettes else stream
        return ahead(finished(painted, shots, facts), count=self.batch)


def _skipped(frames: Iterable[Frame], shots: ShotList, facts: FilmFacts) -> Iterator[Frame]:
    """Give the frames that are to be skipped their gray as the colours to keep."""
    for frame in frames:
        if shots.at(frame.number).do == "skip":
            yield frame._replace(rgb=np.repeat(facts.gray(frame.luma)[..., None], 3, axis=2))
        else:
            yield frame

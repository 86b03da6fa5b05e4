"""Steady the colours of a film that is colorized frame by frame: average chroma along the motion of the luma."""

from collections import deque
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

import cv2
import numpy as np
import torch
from torch import Tensor

from colorgan.color import chroma_to_rgb, recombine, rgb_to_gray
from colorgan.colorize.colorizer import frame_of, to_array
from colorgan.colorize.motion import Link, Tracker, moved, small
from colorgan.colorize.pipeline import Colored, SegmentEnd

_BLOCK = 8  # frames that are finished at once
_AHEAD = 12  # frames behind them that are looked at: 0.8 ** 12 is 7 %


@dataclass
class _Seen:
    """A frame: its own chroma with weight 1, (h, w, 3); the sum over it and those before; its link to these."""

    own: np.ndarray
    past: np.ndarray
    link: Link | None


_Entry = tuple[Colored | SegmentEnd, _Seen | None]


class ChromaSmoother:
    """Average chroma over the frames before and after, and over no cut.

    Chroma is brought from frame to frame along the optical flow between their luma planes (Lai et al. 2018 learn such
    a blind average; here it is taken by hand), with a weight of `strength` for each step, where flow and luma say that
    both show the same thing. Where one side is missing, behind a cut, the other counts for more. Luma is not touched.

    Args:
        strength: weight of the next frame on either side, in [0, 1); 0.8 averages over about nine frames.
        gray_rule: of the colorizer, which the smoother does not see.
    """

    def __init__(self, *, strength: float = 0.8, gray_rule: str = "luma601") -> None:
        if not 0 <= strength < 1:
            raise ValueError(f"the smoothing strength must be in [0, 1), got {strength} (--smooth)")
        self.strength, self.gray_rule = np.float32(strength), gray_rule
        self._tracker = Tracker()
        self._past: np.ndarray | None = None

    def smooth(self, rgb: Tensor) -> Tensor:
        """Smooth the frames of a clip, (N, 3, H, W) in [0, 1]; the result is as large, and has the same gray."""
        frames = [np.ascontiguousarray(frame) for frame in rgb.permute(0, 2, 3, 1).float().cpu().numpy()]
        seen = [self._see(small(frame), anew=place == 0) for place, frame in enumerate(frames)]
        changes = self._changes(seen, [])
        done = [change_chroma(*pair, self.gray_rule) for pair in zip(frames, changes, strict=True)]
        return torch.cat(done).to(rgb.device) if done else rgb

    def stream(
        self, items: Iterable[Colored | SegmentEnd], cuts: Container[int] = ()
    ) -> Iterator[Colored | SegmentEnd]:
        """Smooth a stream, but for frames that had colours; a segment's end carries what the next one needs.

        Frames leave in blocks that begin anew with each segment, so that a film which goes on after an interruption is
        the same.

        Args:
            items: the stream.
            cuts: frames that begin a shot, where the luma does not say it.
        """
        entries, waiting = self._entries(items, cuts), deque[_Entry]()
        while True:
            while sum(isinstance(item, Colored) for item, _ in waiting) < _BLOCK + _AHEAD:
                if (entry := next(entries, None)) is None:
                    break
                waiting.append(entry)
            if not waiting:
                return
            yield from self._leave(waiting)

    def _entries(self, items: Iterable[Colored | SegmentEnd], cuts: Container[int]) -> "Iterator[_Entry]":
        for item in items:
            if isinstance(item, SegmentEnd):
                yield SegmentEnd(self.state()), None
            elif item.frame.rgb is not None:
                self.load_state({})
                yield item, None
            else:
                tiny = small(item.rgb.astype(np.float32)) / 255
                yield item, self._see(tiny, anew=item.frame.number in cuts)

    def state(self) -> dict[str, np.ndarray]:
        """Return what the next frame needs; empty at the beginning."""
        if self._tracker.luma is None or self._past is None:
            return {}
        return {"luma": self._tracker.luma, "past": self._past}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a stored state."""
        self._tracker.luma, self._past = state.get("luma"), state.get("past")

    def _see(self, rgb: np.ndarray, *, anew: bool) -> _Seen:
        """Take in the next frame, (h, w, 3) in [0, 1], as `small` makes it."""
        own = chroma(rgb)
        own = np.concatenate([own, np.ones_like(own[..., :1])], axis=2)
        link = self._tracker.follow(luma(rgb), anew=anew)
        past = own
        if link is not None and self._past is not None:
            past = own + (self.strength * link.kept)[..., None] * moved(self._past, link.back)
        self._past = past
        return _Seen(own, past, link)

    def _leave(self, waiting: "deque[_Entry]") -> Iterator[Colored | SegmentEnd]:
        """Finish a block: up to the end of its segment, or to a frame that had colours."""
        if waiting[0][1] is None:
            yield waiting.popleft()[0]
            return
        frames: list[Colored | SegmentEnd] = []
        block: list[_Seen] = []
        while waiting and len(block) < _BLOCK and (seen := waiting[0][1]) is not None:
            frames.append(waiting.popleft()[0])
            block.append(seen)
        following = takewhile(lambda seen: seen is not None, (s for i, s in waiting if isinstance(i, Colored)))
        ahead = [seen for seen in islice(following, _AHEAD) if seen is not None]
        for item, change in zip(frames, self._changes(block, ahead), strict=True):
            assert isinstance(item, Colored)
            yield Colored(item.frame, change_frame(item.rgb, change, self.gray_rule))

    def _changes(self, block: list[_Seen], ahead: list[_Seen]) -> list[np.ndarray]:
        """Compute by how much the chroma of each frame changes, (h, w, 2); those ahead are only looked at."""
        changes: list[np.ndarray] = []
        future: np.ndarray | None = None
        link: Link | None = None  # from the frame after
        for place, seen in reversed([*enumerate([*block, *ahead])]):
            total = seen.own
            if link is not None and future is not None:
                total = seen.own + (self.strength * link.goes_on)[..., None] * moved(future, link.forth)
            future, link = total, seen.link
            if place < len(block):
                average = seen.past + total - seen.own
                changes.append(average[..., :2] / average[..., 2:] - seen.own[..., :2])
        return changes[::-1]


def luma(rgb: np.ndarray) -> np.ndarray:
    """Compute the luma (H, W) of a picture (H, W, 3) in [0, 1]."""
    return np.asarray(rgb @ np.array([0.299, 0.587, 0.114], np.float32))  # BT.601, see `colorgan.color`


def chroma(rgb: np.ndarray) -> np.ndarray:
    """Compute B - Y and R - Y, (H, W, 2), of a picture (H, W, 3) in [0, 1]."""
    return np.asarray(np.stack([rgb[..., 2], rgb[..., 0]], axis=2) - luma(rgb)[..., None])


def change_chroma(rgb: np.ndarray, change: np.ndarray, gray_rule: str) -> Tensor:
    """Add a small plane of chroma to a picture, (H, W, 3) uint8 or in [0, 1]; returns (1, 3, H, W) of the same gray."""
    height, width = rgb.shape[:2]
    large = torch.from_numpy(cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)).permute(2, 0, 1)[None]
    picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    picture = picture.float() / 255 if picture.dtype == torch.uint8 else picture
    changed = picture + chroma_to_rgb(torch.zeros_like(large[:, :1]), large)
    return recombine(rgb_to_gray(picture, gray_rule), changed, gray_rule)


def change_frame(rgb: np.ndarray, change: np.ndarray, gray_rule: str) -> np.ndarray:
    """Add a small plane of chroma to a frame, (H, W, 3) uint8; for luma601 in a third of the time of the above."""
    if gray_rule != "luma601":
        return to_array(change_chroma(rgb, change, gray_rule))
    height, width = rgb.shape[:2]
    picture = torch.from_numpy(np.stack(cv2.split(rgb))).float().div_(255)
    large = cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)
    gray = rgb_to_gray(picture[None])[0]
    added = chroma_to_rgb(torch.zeros(1, 1, height, width), torch.from_numpy(large).permute(2, 0, 1)[None])[0]
    return frame_of(picture.sub_(gray).add_(added), gray)

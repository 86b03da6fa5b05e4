"""Draw hints for training: what a person would mark, and what film brings from other frames."""

from collections.abc import Callable

import cv2
import numpy as np

from colorgan.networks.hints import MOVED
from colorgan.ranges import Share

HintSource = Callable[[np.ndarray, np.random.Generator], np.ndarray]

_POINTS = 1 / 6  # the number of points is geometric (Zhang et al. 2017: 1/8), about six
_POINT = (0.01, 0.04)  # radius, as a share of the side
_STROKE = (0.1, 0.4)  # length
_ONE_COLOR = 0.06  # a stroke stays where colours differ less from its own
_PATCH = (0.1, 0.5)  # side
_SHIFT, _TURN, _ZOOM = 0.04, 3.0, 0.04  # of a frame: share of the side, degrees, share
_BEND = (0.002, 0.04)  # standard deviation of what flow gets wrong from place to place, as a share of the side
_OTHER_PHOTO = 0.15


class RandomHints:
    """Draw hints from the truth, a kind for each sample.

    Half of those with hints have what a person would mark, after Zhang et al. 2017 (Real-Time User-Guided Image
    Colorization): points, strokes or patches, certain. The others have a whole frame as film would give it (Iizuka and
    Simo-Serra 2019, Yang et al. 2024): moved by an imprecise flow, stale, with holes and a confidence that tells more
    or less of its errors; sometimes it fits nothing here, as after a cut.

    Args:
        none: share of samples without hints.
        film: share of those with hints that have a frame of film.
    """

    def __init__(self, none: Share = 0.5, film: Share = 0.5) -> None:
        self.none, self.film = none, film

    def __call__(self, colors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw hints.

        Args:
            colors: (2, H, W) float32, the truth's planes (`color_planes`); stays as it is.
            rng: of this sample.

        Returns:
            (3, H, W) float32: planes of colour and a confidence in [0, 1], zeros where nothing is known.
        """
        if rng.random() < self.none:
            return np.zeros((3, *colors.shape[1:]), np.float32)
        draw: HintSource = film_frame if rng.random() < self.film else (points, strokes, patches)[rng.integers(3)]
        return draw(colors, rng)


def points(colors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw points, each in the mean colour of its disc."""
    hints = np.zeros((3, *colors.shape[1:]), np.float32)
    y, x = np.indices(colors.shape[1:], np.float32)
    side = min(colors.shape[1:])
    for _ in range(rng.geometric(_POINTS)):
        center, radius = rng.random(2) * colors.shape[1:], max(0.8, rng.uniform(*_POINT) * side)
        disc = (y + 0.5 - center[0]) ** 2 + (x + 0.5 - center[1]) ** 2 <= radius**2
        if disc.any():
            hints[:2, disc], hints[2, disc] = colors[:, disc].mean(axis=1, keepdims=True), 1
    return hints


def strokes(colors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw strokes in one colour each, as far as the truth has it."""
    hints = np.zeros((3, *colors.shape[1:]), np.float32)
    size, side = np.array(colors.shape[:0:-1]), min(colors.shape[1:])
    for _ in range(1 + rng.poisson(1.5)):
        start, angle = rng.random(2) * size, rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.6, 3))
        steps = rng.uniform(*_STROKE) / 3 * side * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        line = np.rint([start, *(start + np.cumsum(steps, axis=0))]).astype(np.int32)
        thickness = max(1, round(2 * rng.uniform(*_POINT) * side))
        drawn = cv2.polylines(np.zeros(colors.shape[1:], np.uint8), [line], False, 1, thickness) > 0
        if drawn.any():
            color = np.median(colors[:, drawn], axis=1)[:, None, None]
            drawn &= np.abs(colors - color).max(axis=0) < _ONE_COLOR
            hints[:2] = np.where(drawn, color, hints[:2])
            hints[2, drawn] = 1
    return hints


def patches(colors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw rectangles with all their colours, as of a frame that was repaired in part."""
    hints = np.zeros((3, *colors.shape[1:]), np.float32)
    size = np.array(colors.shape[1:])
    for _ in range(rng.integers(1, 4)):
        sides = np.ceil(rng.uniform(*_PATCH, 2) * size).astype(int)
        (top, left), (bottom, right) = (corner := rng.integers(size - sides + 1)), corner + sides
        hints[:2, top:bottom, left:right], hints[2, top:bottom, left:right] = colors[:, top:bottom, left:right], 1
    return hints


def film_frame(colors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a frame that was moved here from another one, with a confidence."""
    stale = colors
    if other := rng.random() < _OTHER_PHOTO:
        stale = _turned_hues(colors[:, ::-1, ::-1], rng.uniform(60, 300))
    moved = _moved(stale, rng)
    aged = _turned_hues(moved, rng.normal(0, 6)) * rng.uniform(0.6, 1.05) + rng.normal(0, 0.015, (2, 1, 1))
    if rng.random() < 0.5:  # what was warped many times is soft
        aged = np.stack([_smooth(plane, rng.uniform(0, 0.02) * min(plane.shape)) for plane in aged])
    # What a check of flow and gray would tell: something of the error, more of it in some films than in others.
    error = _smooth(np.abs(aged - colors).max(axis=0), 0.01 * min(colors.shape[1:]))
    telling = 0.0 if other and rng.random() < 0.5 else rng.random()
    confidence = MOVED * rng.uniform(0.3, 1) * (1 - telling + telling * np.exp(-error / 0.08))
    if rng.random() < 0.6:
        blobs = _blobs(colors.shape[1:], rng)
        confidence = np.where(blobs < np.quantile(blobs, rng.uniform(0, 0.7)), 0, confidence)
    known = confidence > 0.02
    return np.concatenate([np.clip(aged, -1, 1), confidence[None]]).astype(np.float32) * known


def _moved(colors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move colours as a wrong flow would: all together, and differently from place to place."""
    height, width = colors.shape[1:]
    side = min(height, width)
    matrix = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), rng.normal(0, _TURN / 2), 1 + rng.normal(0, _ZOOM / 2)
    )
    matrix[:, 2] += rng.normal(0, _SHIFT / 2, 2) * side
    y, x = np.indices((height, width), np.float32)
    place = np.einsum("ij,jhw->ihw", matrix[:, :2], np.stack([x, y])) + matrix[:, 2, None, None]
    bend = np.exp(rng.uniform(*np.log(_BEND))) * side
    place = place + bend * np.stack([_blobs((height, width), rng), _blobs((height, width), rng)])
    x, y = place.astype(np.float32)
    moved = cv2.remap(np.ascontiguousarray(colors.transpose(1, 2, 0)), x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
    return np.asarray(moved).transpose(2, 0, 1)


def _blobs(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw smooth noise of variance about 1; its blobs are a quarter to a tenth of the side."""
    cells = int(rng.integers(3, 9))
    noise = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC))


def _smooth(plane: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(plane, np.float32), (0, 0), max(sigma, 0.1)))


def _turned_hues(colors: np.ndarray, degrees: float) -> np.ndarray:
    """Turn the two planes like hands of a clock."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    return np.asarray(np.einsum("ij,jhw->ihw", turn, colors))

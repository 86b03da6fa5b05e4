"""Let many callers share the batches of one network."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

import torch
from torch import Tensor, nn

from colorgan.networks.hints import takes_hints

_Waiting = tuple[tuple[Tensor, ...], Future[Tensor]]  # gray, perhaps hints, and the answer
_LARGEST_BATCH = 8
MOST_PIXELS = 2_000_000  # in a batch: a megapixel takes about half a GiB


class SharedGenerator(nn.Module):
    """A generator for many threads: what waits in the same shape goes through the network together.

    Nothing waits for a batch to become full. Where one of a batch fails, each is tried alone, so a caller gets its own
    error only.

    Args:
        generators: gray to rgb, the same network once a device, each with a thread of its own.
        devices: of each.
    """

    def __init__(self, generators: Sequence[nn.Module], devices: Sequence[str]) -> None:
        super().__init__()
        self.gray_rule, self.name = str(generators[0].gray_rule), str(getattr(generators[0], "name", "torch fp32"))
        self.takes_hints = takes_hints(generators[0])
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, args=pair, name=f"network on {pair[1]}", daemon=True)
            for pair in zip(generators, devices, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Colorize (1, 1, H, W) in [0, 1]; waits for its turn. Pictures with hints go together, those without too."""
        future: Future[Tensor] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the network is closed")
            self._waiting.append(((gray,) if hints is None else (gray, hints), future))
            self._changed.notify()
        return future.result()

    def close(self) -> None:
        """End the threads once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self, generator: nn.Module, device: str) -> None:
        while batch := self._take():
            self._answer(generator, device, batch)

    def _take(self) -> list[_Waiting]:
        """Wait for a picture, and take those of its shape that wait too; nothing when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            shapes = _shapes(self._waiting[0])
            most = max(1, min(_LARGEST_BATCH, MOST_PIXELS // shapes[0].numel()))
            alike = [item for item in self._waiting if _shapes(item) == shapes][:most]
            taken = {id(future) for _, future in alike}
            self._waiting = deque(item for item in self._waiting if id(item[1]) not in taken)
            return alike

    @torch.inference_mode()
    def _answer(self, generator: nn.Module, device: str, batch: list[_Waiting]) -> None:
        try:
            given = zip(*(images for images, _ in batch), strict=True)
            colored = generator(*(torch.cat(images).to(device) for images in given)).float().cpu().split(1)
        except Exception as error:
            if len(batch) > 1:
                for item in batch:
                    self._answer(generator, device, [item])
            else:
                batch[0][1].set_exception(error)
            return
        for (_, future), rgb in zip(batch, colored, strict=True):
            future.set_result(rgb)


def _shapes(item: _Waiting) -> list[torch.Size]:
    return [image.shape for image in item[0]]

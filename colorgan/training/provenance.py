"""Inherit what a checkpoint says of the runs behind it: what they held out, and through which networks they trained."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from colorgan.checkpoint import find_checkpoint, read_header
from colorgan.config import class_of
from colorgan.data import ClipsSource
from colorgan.data.clips import content_splits
from colorgan.files import file_hash


@dataclass(frozen=True)
class Provenance:
    """What a run hands on of the checkpoint that it started from; nothing where it began afresh.

    Attributes:
        splits: what the runs behind that checkpoint held out.
        trained_through: pretrained networks that its generator was trained through.
        started_from: the checkpoints behind each other, the latest first: file, SHA-256, stage, steps and, of imported
            weights, their source.
    """

    splits: list[dict[str, Any]] = field(default_factory=list)
    trained_through: list[str] = field(default_factory=list)
    started_from: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, config: DictConfig) -> "Provenance":
        """Read the header of a config's `init_from`.

        Raises:
            ValueError: the file does not say what its run held out, or of clips not in a way that still holds.
        """
        if not config.init_from:
            return cls()
        try:
            file = find_checkpoint(config.init_from)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error} (init_from)") from error
        header = read_header(file)
        if "splits" not in header:
            raise ValueError(
                f"init_from={config.init_from} does not say which photos its run held out (an older version wrote "
                "it), so nothing trained from it could be measured; train that run again"
            )
        if issubclass(class_of(config.data.source), ClipsSource):
            content_splits(f"init_from={config.init_from}", header["splits"])
        facts: dict[str, Any] = {key: header[key] for key in ("stage", "total_step", "source") if key in header}
        ancestor: dict[str, Any] = {"file": str(config.init_from), "sha256": file_hash(file), **facts}
        return cls(header["splits"], header.get("trained_through", []), [ancestor, *header.get("started_from", [])])

    def with_own(self, splits: list[dict[str, Any]], trained_through: list[str]) -> dict[str, Any]:
        """Say for a header what a run and those before it did; without those before it, what it did itself."""
        inherited = [split for split in self.splits if split not in splits]
        through = sorted({*trained_through, *self.trained_through})
        facts: dict[str, Any] = {"splits": [*splits, *inherited], "trained_through": through}
        return {**facts, "started_from": self.started_from} if self.started_from else facts

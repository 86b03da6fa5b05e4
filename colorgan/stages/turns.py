"""Choose whose step is next in the GAN stage: the generator's or the discriminator's."""

from typing import Any, Literal, Protocol

from colorgan.ranges import Count

Player = Literal["generator", "discriminator"]


class Turns(Protocol):
    """Choose, one optimizer step after the other, which network trains; the state goes into the checkpoint.

    Attributes:
        player: whose step is next.
    """

    player: Player

    def advance(self, discriminator_loss: float | None) -> None:
        """Note a finished step and choose the next player.

        Args:
            discriminator_loss: of the step if it was the discriminator's, averaged over ranks, and scaled so that
                chance is ln 2, whatever the loss; None otherwise.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return plain values from which `load_state_dict` goes on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


class AdaptiveTurns:
    """Train the discriminator until it is good enough, then the generator for one step (DeOldify's switcher).

    Args:
        threshold: the generator's turn comes when the discriminator's loss on one batch is below this
            (DeOldify, AdaptiveGANSwitcher: 0.65 in halved binary cross-entropy, where chance is 0.693). Other losses
            are scaled to this: 0.65 is 94 % of chance in all of them.
        max_wait: the generator's turn comes in any case after so many steps of the discriminator in a row;
            None for no bound, as in DeOldify, where a weak critic starves the generator.
    """

    def __init__(self, threshold: float = 0.65, max_wait: Count | None = 10) -> None:
        if max_wait is not None and max_wait < 1:
            raise ValueError(f"max_wait must be at least 1, got {max_wait} (turns.max_wait)")
        self.threshold, self.max_wait = threshold, max_wait
        self.player: Player = "discriminator"
        self.waited = 0

    def advance(self, discriminator_loss: float | None) -> None:
        """See `Turns`."""
        if discriminator_loss is None:
            self.player, self.waited = "discriminator", 0
            return
        self.waited += 1
        if discriminator_loss < self.threshold or (self.max_wait is not None and self.waited >= self.max_wait):
            self.player = "generator"

    def state_dict(self) -> dict[str, Any]:
        """See `Turns`."""
        return {"player": self.player, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Turns`."""
        self.player, self.waited = state["player"], state["waited"]


class FixedTurns:
    """Alternate a fixed number of discriminator steps and a fixed number of generator steps.

    Args:
        discriminator: steps of the discriminator in a row, at least 1.
        generator: steps of the generator in a row, at least 1.
    """

    def __init__(self, discriminator: Count = 1, generator: Count = 1) -> None:
        if min(discriminator, generator) < 1:
            raise ValueError(f"turns must be at least 1, got {discriminator} and {generator} (turns)")
        players: tuple[tuple[Player, int], ...] = (("discriminator", discriminator), ("generator", generator))
        self.cycle = [player for player, steps in players for _ in range(steps)]
        self.position = 0

    @property
    def player(self) -> Player:
        """Whose step is next."""
        return self.cycle[self.position]

    def advance(self, discriminator_loss: float | None) -> None:
        """See `Turns`."""
        self.position = (self.position + 1) % len(self.cycle)

    def state_dict(self) -> dict[str, Any]:
        """See `Turns`."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Turns`."""
        self.position = state["position"]

import itertools

import pytest

from colorgan.stages import AdaptiveTurns, FixedTurns


def played(turns, losses):
    players = []
    for loss in losses:
        players.append(turns.player)
        turns.advance(loss if turns.player == "discriminator" else None)
    return players


def test_adaptive_turns_begin_with_the_discriminator_and_follow_its_loss():
    turns = AdaptiveTurns(threshold=0.65, max_wait=10)
    assert played(turns, [0.7, 0.65, 0.64, 9, 0.1, 9]) == ["discriminator"] * 3 + [
        "generator",
        "discriminator",
        "generator",
    ]


def test_generator_never_plays_twice_in_a_row():
    players = played(AdaptiveTurns(), [0.1] * 20)
    assert all(a != b for a, b in itertools.pairwise(players))


def test_a_weak_discriminator_starves_the_generator_no_longer_than_max_wait():
    players = played(AdaptiveTurns(threshold=0.65, max_wait=3), [0.69] * 12)
    assert players == (["discriminator"] * 3 + ["generator"]) * 3


def test_fixed_turns_repeat_their_cycle():
    assert (
        played(FixedTurns(discriminator=2, generator=1), [1.0] * 6)
        == ["discriminator", "discriminator", "generator"] * 2
    )


@pytest.mark.parametrize("make", [lambda: AdaptiveTurns(max_wait=4), lambda: FixedTurns(3, 2)])
@pytest.mark.parametrize("at", range(1, 9))
def test_turns_go_on_from_their_state(make, at):
    losses = [0.7, 0.6, 1, 0.7, 0.7, 0.7, 0.7, 1, 0.7, 0.6, 1, 0.3]
    whole = make()
    expected = played(whole, losses)
    first, second = make(), make()
    start = played(first, losses[:at])
    second.load_state_dict(first.state_dict())
    assert start + played(second, losses[at:]) == expected


@pytest.mark.parametrize("make", [lambda: AdaptiveTurns(max_wait=0), lambda: FixedTurns(0, 1)])
def test_turns_refuse_what_would_never_end(make):
    with pytest.raises(ValueError, match="turns"):
        make()

"""The temporal loss: zero for colours that follow the motion, positive for colours that do not."""

import pytest
import torch

from colorgan.losses import TemporalLoss


@pytest.fixture
def gray():
    y, x = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 48), indexing="ij")
    return torch.stack([(x + y) / 2, x * y, y]).unsqueeze(1)


def tint(gray):
    """Colours that are a smooth function of the gray follow any motion."""
    return torch.cat([gray + 0.1, gray, gray - 0.1], dim=1)


def test_a_generator_that_colours_each_gray_alike_costs_nothing(gray):
    loss = TemporalLoss(noise=0.0)
    assert loss(tint(gray), gray, tint).item() < 1e-6


def test_colours_that_stay_in_place_while_the_photo_moves_cost(gray):
    torch.manual_seed(0)
    fixed = torch.zeros(3, 3, 40, 48)
    fixed[:, 0, :, ::4] = 0.3
    assert TemporalLoss(noise=0.0)(fixed, gray, lambda second: fixed).item() > 0.01


def test_without_motion_and_noise_the_loss_is_the_chroma_difference(gray):
    loss = TemporalLoss(max_shift=0, max_zoom=0, max_angle=0, noise=0)
    # B - Y differs by 0.2 * (1 - 0.114), R - Y by -0.2 * 0.114
    other = tint(gray) + torch.tensor([0.0, 0.0, 0.2]).view(1, 3, 1, 1)
    assert loss(tint(gray), gray, lambda second: other).item() == pytest.approx(0.2 * (0.886 + 0.114) / 2, rel=1e-4)


def test_luma_alone_costs_nothing(gray):
    loss = TemporalLoss(max_shift=0, max_zoom=0, max_angle=0, noise=0)
    assert loss(tint(gray), gray, lambda second: tint(second * 0.5)).item() < 1e-6


def test_motion_and_noise_are_drawn_from_the_seed_of_the_step(gray):
    def seen(seed):
        views = []
        torch.manual_seed(seed)
        TemporalLoss()(tint(gray), gray, lambda second: views.append(second) or tint(second))
        return views[0]

    assert torch.equal(seen(1), seen(1))
    assert not torch.equal(seen(1), seen(2))
    assert not torch.equal(seen(1)[0] - gray[0], seen(1)[1] - gray[1])


def test_processes_draw_what_one_would(monkeypatch):
    gray = torch.rand(4, 1, 24, 24, generator=torch.Generator().manual_seed(3))

    def loss(part):
        torch.manual_seed(7)  # all processes of a run are seeded alike
        return TemporalLoss()(tint(part), part, lambda second: tint(second.square())).item()

    whole = loss(gray)
    for name, value in (("is_initialized", True), ("get_world_size", 2)):
        monkeypatch.setattr(f"torch.distributed.{name}", lambda value=value: value)
    parts = []
    for rank in range(2):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        parts.append(loss(gray[rank::2]))
    assert sum(parts) / 2 == pytest.approx(whole, rel=1e-5)


def test_both_views_get_a_gradient(gray):
    first, second = tint(gray).requires_grad_(), (tint(gray) * 1.3).requires_grad_()
    TemporalLoss()(first, gray, lambda view: second).backward()
    assert first.grad.abs().sum() > 0
    assert second.grad.abs().sum() > 0

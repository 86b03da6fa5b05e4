"""Rates over layers and over time, against fastai's numbers."""

import math

import pytest
import torch

from colorgan.stages.rates import OneCycle, slice_rates


def run(steps, **options):
    """Rate and beta1 of each step, and after the last."""
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [parameters[0]], "lr": 3e-5}, {"params": [parameters[1]], "lr": 3e-4}]
    optimizer = torch.optim.AdamW(groups, betas=(0.95, 0.99))
    scheduler = OneCycle(optimizer, total_steps=steps, **options)
    seen = []
    for _ in range(steps + 2):
        seen.append([(group["lr"], group["betas"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return [s[1][0] for s in seen], [s[1][1][0] for s in seen], [s[0][0] for s in seen]


def test_without_a_rise_the_second_step_is_at_the_top():
    rates, momenta, first_group = run(100, pct_start=1e-8)
    assert rates[0] == pytest.approx(3e-4 / 25)
    assert rates[1] == pytest.approx(3e-4)
    assert rates[50] == pytest.approx(1.55e-4, rel=2e-3)  # 0.516 of the top
    assert rates[101] == pytest.approx(3e-4 / 250_000)
    assert first_group == pytest.approx([rate / 10 for rate in rates])
    assert momenta[0] == pytest.approx(0.95)
    assert momenta[1] == pytest.approx(0.85)
    assert momenta[101] == pytest.approx(0.95)


def test_a_rise_of_four_fifths_tops_there_and_ends_at_the_last_step():
    rates, momenta, _ = run(100, pct_start=0.8)
    assert rates[0] == pytest.approx(3e-4 / 25)
    assert rates[40] == pytest.approx((3e-4 / 25 + 3e-4) / 2)  # the middle of a cosine
    assert max(rates) == rates[80] == pytest.approx(3e-4)
    assert rates[90] == pytest.approx((3e-4 + 3e-4 / 250_000) / 2)
    assert rates[100] == pytest.approx(3e-4 / 250_000)
    assert min(momenta) == momenta[80] == pytest.approx(0.85)
    assert momenta[40] == pytest.approx(0.90)


@pytest.mark.parametrize(
    ("lr_slice", "rates"),
    [
        ([3e-7, 3e-4], (3e-7, 9.49e-6, 3e-4)),
        ([1e-7, 1e-4], (1e-7, 3.16e-6, 1e-4)),
        ([5e-8, 5e-5], (5e-8, 1.58e-6, 5e-5)),
        ([1e-3], (1e-4, 1e-4, 1e-3)),
    ],
)
def test_slices_are_fastai_s(lr_slice, rates):
    assert slice_rates(lr_slice, 3) == pytest.approx(rates, rel=2e-3)


@pytest.mark.parametrize("lr_slice", [[], [1e-3, 1e-2, 1e-1], [0.0, 1e-3], [-1e-3]])
def test_other_slices_are_refused(lr_slice):
    with pytest.raises(ValueError, match="one or two rates above 0"):
        slice_rates(lr_slice or [0], 3)


def test_a_saved_schedule_goes_on_where_it_was():
    parameter = torch.nn.Parameter(torch.ones(1))

    def make():
        optimizer = torch.optim.AdamW([parameter], lr=1e-3, betas=(0.95, 0.99))
        return optimizer, OneCycle(optimizer, total_steps=10)

    def advance(optimizer, scheduler, steps):
        for _ in range(steps):
            optimizer.step()
            scheduler.step()

    first, first_schedule = make()
    advance(first, first_schedule, 4)
    second, second_schedule = make()
    second.load_state_dict(first.state_dict())
    second_schedule.load_state_dict(first_schedule.state_dict())
    for pair in ((first, first_schedule), (second, second_schedule)):
        advance(*pair, 3)
    groups = [{k: v for k, v in o.param_groups[0].items() if k != "params"} for o in (first, second)]
    assert groups[0] == groups[1]
    assert groups[0]["betas"][0] == pytest.approx(0.95 - 0.1 * (1 + math.cos(math.pi * 4 / 7)) / 2)


def test_pct_start_must_leave_something():
    with pytest.raises(ValueError, match=r"pct_start must be in \[0, 1\), got 1"):
        run(5, pct_start=1)

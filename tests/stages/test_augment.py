"""What the discriminator sees is changed alike for photo, picture and gray, and never in colour."""

import pytest
import torch
from stage_fixture import LOSSES, batches, fit, gan

from colorgan.losses import (
    LeastSquaresDiscriminatorLoss,
    LeCamPenalty,
    RelativisticDiscriminatorLoss,
    RelativisticGeneratorLoss,
)
from colorgan.stages import AdaptiveDiffAugment, DiffAugment, FixedTurns


def coordinates(count, size):
    """Pictures that say at each pixel where it is: row, column, and which picture, all far from the fill."""
    rows = torch.arange(size).view(1, 1, size, 1).expand(count, 1, size, size)
    which = torch.arange(count).view(count, 1, 1, 1).expand(count, 1, size, size)
    return torch.cat([rows, rows.transpose(2, 3), which], dim=1) + 10.0


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_each_photo_is_moved_by_its_own_shift_and_loses_its_own_square(memory_format):
    torch.manual_seed(0)
    images = coordinates(64, 16).to(memory_format=memory_format)
    changed = DiffAugment().draw(images)(images)
    assert changed.is_contiguous(memory_format=memory_format)
    shifts, squares = set(), set()
    for index, image in enumerate(changed):
        kept = (image != 0.5).all(dim=0)
        assert torch.equal((image == 0.5).all(dim=0), ~kept)
        rows, columns = kept.nonzero().T
        shift = (image[0] - 10)[kept] - rows, (image[1] - 10)[kept] - columns
        assert all(len(part.unique()) == 1 and part[0].abs() <= 2 for part in shift)
        assert (image[2][kept] == index + 10).all()
        shifts.add(tuple(int(part[0]) for part in shift))
        squares.add(int((~kept).sum()))
    assert len(shifts) > 15  # of 25
    assert max(squares) >= 64


def test_photo_picture_and_gray_are_changed_alike_and_gradients_come_through():
    torch.manual_seed(0)
    rgb = torch.rand(4, 3, 16, 16, requires_grad=True)
    change = DiffAugment().draw(rgb)
    assert torch.equal(change(rgb[:, :1]), change(rgb)[:, :1])
    change(rgb).sum().backward()
    assert set(rgb.grad.unique().tolist()) == {0.0, 1.0}


def test_where_a_photo_is_cut_the_discriminator_is_told_no_hint():
    stage = gan(num_steps=1, augment=DiffAugment())
    stage.discriminator.takes_hints = True
    hints = torch.rand(8, 3, 16, 16) + 0.1
    torch.manual_seed(0)
    change = stage.augment.draw(hints)
    gray, told = stage._condition({"gray": hints[:, :1], "hints": hints}, change)
    cut = (gray == 0.5).expand_as(told)
    assert cut.any()
    assert (told[cut] == 0).all()
    assert (told[~cut] > 0).all()


def test_colour_stays_and_probability_zero_changes_nothing():
    rgb = torch.rand(8, 3, 16, 16)
    augment = DiffAugment(probability=0.0)
    assert torch.allclose(augment.draw(rgb)(rgb), rgb, atol=1e-7)
    changed = DiffAugment(cutout=0.0).draw(rgb)(rgb)
    inner = changed[:, :, 4:-4, 4:-4].flatten(2).transpose(1, 2)
    for photo, pixels in zip(rgb, inner, strict=True):  # every pixel is one of the photo's
        distance = torch.cdist(pixels, photo.flatten(1).T)
        assert distance.amin(dim=1).max() < 1e-3


def test_adaptive_probability_rises_by_photos_seen_while_the_discriminator_is_sure():
    augment = AdaptiveDiffAugment(num_images=640, every=2)
    sure, unsure = torch.ones(16, 1, 2, 2), torch.tensor([1.0, -1]).repeat(8).view(16, 1, 1, 1)
    seen = []
    for score in (sure, sure, sure, sure, unsure, unsure, unsure, unsure, unsure, unsure):
        augment.note(score)
        augment.adapt(16)
        seen.append(augment.probability)
    assert seen == pytest.approx([0, 0.05, 0.05, 0.1, 0.1, 0.05, 0.05, 0, 0, 0])


@pytest.mark.parametrize("at", [4, 5])
def test_a_stopped_stage_goes_on_with_the_same_probability_and_averages(at, tmp_path):
    """At a step between two changes of the probability, and at one that changes it."""

    def stage(num_steps):
        losses = {**LOSSES, "lecam": LeCamPenalty()}
        weights = {"discriminator": 1.0, "adversarial": 1.0, "lecam": 1.0}
        augment = AdaptiveDiffAugment(num_images=20, every=2, target=0.0)
        return gan(num_steps=num_steps, losses=losses, loss_weights=weights, augment=augment, turns=FixedTurns(2, 1))

    data = batches(9)
    first, second = stage(at), stage(9)
    fit(first, data[:at])
    first.trainer.save_checkpoint(tmp_path / "at.ckpt")
    checkpoint = torch.load(tmp_path / "at.ckpt", weights_only=True)
    second.load_state_dict(checkpoint["state_dict"])
    second.on_load_checkpoint(checkpoint)
    assert second.augment.state_dict() == first.augment.state_dict()
    assert first.augment.probability == pytest.approx(0.4 if at == 4 else 0.8)
    fresh = stage(9)._losses["lecam"].state_dict()
    for name, value in second._losses["lecam"].state_dict().items():
        assert torch.equal(value, first._losses["lecam"].state_dict()[name])
        assert not torch.equal(value, fresh[name])


def test_both_players_see_changed_pictures_and_a_paired_loss_judges_by_differences():
    class Watched(AdaptiveDiffAugment):
        scores, draws = [], 0

        def draw(self, images):
            self.draws += 1
            return super().draw(images)

        def note(self, score):
            self.scores.append(score)
            super().note(score)

    losses = {**LOSSES, "discriminator": RelativisticDiscriminatorLoss(), "adversarial": RelativisticGeneratorLoss()}
    stage = gan(num_steps=2, losses=losses, augment=Watched(), turns=FixedTurns())
    fit(stage, batches(2))
    assert stage.augment.draws == 2
    assert len(stage.augment.scores) == 1

    (batch,) = batches(1)
    photo, picture = batch["rgb"], torch.zeros_like(batch["rgb"])
    stage.discriminator.forward = lambda rgb, gray: 2 - rgb.amax(dim=(1, 2, 3), keepdim=True).sign()
    stage.augment.probability = 0.0
    stage.discriminator_inputs({**batch, "rgb": photo}, picture)  # the photo's logit is 1, above neutral; the other's 2
    assert (stage.augment.scores[-1] == -1).all()


def test_a_photo_is_judged_right_above_the_logit_that_its_loss_calls_neutral():
    """Least squares has the targets 1 and 0: a photo at 0.3 is taken for a picture."""
    losses = {**LOSSES, "discriminator": LeastSquaresDiscriminatorLoss()}
    stage = gan(num_steps=1, losses=losses, augment=AdaptiveDiffAugment(num_images=4, every=1, target=0.0))
    (batch,) = batches(1)
    for logit, probability in ((0.7, 1.0), (0.3, 0.0)):
        stage.discriminator.forward = lambda rgb, gray, logit=logit: torch.full((len(rgb), 1, 2, 2), logit)
        stage.discriminator_inputs(batch, batch["rgb"])
        stage.augment.adapt(len(batch["rgb"]))
        assert stage.augment.probability == probability

"""What losses declare is what they take."""

import inspect

import pytest

from colorgan import losses
from colorgan.losses import Loss
from colorgan.stages import CriticPretrainStage, GANStage, GeneratorPretrainStage

LOSSES = [getattr(losses, name) for name in losses.__all__ if name != "Loss"]


@pytest.mark.parametrize("loss", LOSSES)
def test_inputs_are_the_arguments_of_forward(loss):
    assert issubclass(loss, Loss)
    assert loss.inputs == tuple(inspect.signature(loss.forward).parameters)[1:]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_trained_on_in_the_gan_stage_and_in_a_pretraining(loss):
    GANStage.check_losses({"it": loss})
    if loss.trains == "discriminator":
        CriticPretrainStage.check_losses({"it": loss})
    elif not {"fake_logits", "fake_maps"} & set(loss.inputs):
        GeneratorPretrainStage.check_losses({"it": loss})

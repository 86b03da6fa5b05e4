"""The commands as a whole: what they describe."""

import pytest

from colorgan.training.schedule import Schedule


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture
def run(shared, smoke):
    """A finished run folder."""
    config = smoke(f"runs_dir={shared}", f"data.cache_dir={shared}/cache", "schedule.times=0", name="run")
    return Schedule(config).run().parent


def test_inspect_says_what_a_checkpoint_is(run, command):
    code, out, _ = command("inspect", run)
    assert code == 0
    for word in ("generator", "UNetGenerator", "stage", "01-generator_pretrain", "luma601", "psnr", "sha256"):
        assert word in out

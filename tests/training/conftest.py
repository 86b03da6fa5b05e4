"""A finished run for the tests of training."""

import pytest

from colorgan.training.schedule import Schedule


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """Where it is."""
    return tmp_path_factory.mktemp("reference")


@pytest.fixture(scope="session")
def finished(reference, smoke_in):
    """The folder of an uninterrupted run of the smoke experiment."""
    return Schedule(smoke_in(reference)).run().parent

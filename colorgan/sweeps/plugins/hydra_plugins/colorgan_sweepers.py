"""Tells Hydra of our sweepers: it takes plugins only from a package `hydra_plugins`, and imports this at every start.

`train.py` puts the folder above on the path, as a second top-level package would be in the way of others' plugins.
"""

from hydra.core.config_store import ConfigStore

from colorgan.sweeps import sweepers as sweeps


class GridSweeper(sweeps.GridSweeper):
    """All combinations."""


class StudySweeper(sweeps.StudySweeper):
    """What Optuna suggests."""


for _name, _sweeper in (("grid", GridSweeper), ("study", StudySweeper)):
    _target = f"{__name__}.{_sweeper.__name__}"
    ConfigStore.instance().store(group="hydra/sweeper", name=_name, node={"_target_": _target})

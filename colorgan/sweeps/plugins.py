"""Make the sweepers known to Hydra."""

from hydra.core.plugins import Plugins

from colorgan.sweeps.study import StudySweeper
from colorgan.sweeps.sweepers import GridSweeper


def register_sweepers() -> None:
    """Tell Hydra of these classes, under the names that configs/hydra/sweeper gives them.

    Hydra makes plugins only of what is called `hydra_plugins.*`, and looks for such a package on the path; a second
    top-level package would be in the way of other people's plugins.
    """
    for sweeper in (GridSweeper, StudySweeper):
        Plugins.instance().class_name_to_class[f"hydra_plugins.colorgan.{sweeper.__name__}"] = sweeper

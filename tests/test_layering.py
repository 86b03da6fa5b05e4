"""Imports go down only: the floors of the package, read from its import statements."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "colorgan"
FLOORS = {
    0: {"color", "errors", "files", "ranges", "console"},
    1: {"networks", "losses", "metrics", "media", "flow", "checkpoint", "config", "values", "hub"},
    2: {"stages", "callbacks", "data"},
    3: {"evaluation", "colorize"},
    4: {"training"},
    5: {"sweeps"},
    6: {"cli", "serve", "__main__"},
}
FLOOR_OF = {part: floor for floor, parts in FLOORS.items() for part in parts}
# Within a floor, nothing may import anything else but these.
ARROWS = {
    ("flow", "networks"),  # RAFT's weights
    ("losses", "flow"),  # the temporal loss
    ("losses", "networks"),  # feature networks
    ("metrics", "flow"),  # flicker is measured along the motion
    ("metrics", "networks"),  # judges
    ("checkpoint", "hub"),  # `hf://owner/name` wherever a checkpoint is named
    ("config", "metrics"),  # what a metric's yaml builds
    ("config", "networks"),  # weights that a metric lacks
    ("callbacks", "stages"),  # hooks of a stage
    ("cli", "serve"),  # `colorgan serve`
    ("__main__", "cli"),  # `python -m colorgan` is the command
    ("evaluation", "colorize"),  # films are measured as they are colorized
}
TYPES_ONLY = {("config", "data")}  # upwards, under TYPE_CHECKING
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names |= {
                f"{node.module}.{alias.name}" if node.module == "colorgan" else str(node.module) for alias in node.names
            }
    return names


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_go_down_only(module):
    part = part_of(module)
    floor = FLOOR_OF[part]
    for name in imported(module):
        root, _, rest = name.partition(".")
        if root == "colorgan" and rest:
            other = rest.split(".")[0]
            below = FLOOR_OF[other] < floor
            assert below or other == part or (part, other) in ARROWS | TYPES_ONLY, (
                f"{part} (floor {floor}) imports {name}"
            )
        if root == "pytorch_lightning":
            assert floor >= 2, f"{part} imports Lightning on floor {floor}"
        if root in ("hydra", "omegaconf"):
            assert floor >= 4 or part in ("config", "checkpoint", "errors", "values"), f"{part} imports {name}"
        assert root not in ("wandb", "lightning", "pkg_resources"), f"{part} imports {name}"


def test_every_arrow_within_a_floor_is_in_use():
    used = {(part_of(m), name.split(".")[1]) for m in MODULES for name in imported(m) if name.startswith("colorgan.")}
    assert used >= ARROWS
    assert all(FLOOR_OF[part] == FLOOR_OF[other] for part, other in ARROWS)


@pytest.mark.parametrize("module", sorted((PACKAGE / "stages").glob("*.py")), ids=lambda m: m.name)
def test_stages_do_not_know_each_other(module):
    shared = {f"colorgan.stages.{name}" for name in ("base", "adversarial", "augment", "finite", "turns", "rates")}
    names = {name for name in imported(module) if name.startswith("colorgan.stages.")}
    if module.name != "__init__.py":
        assert names <= shared


def test_every_module_stands_on_a_floor():
    parts = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {part for part in parts if not part.startswith("__")} | {"__main__"} >= set(FLOOR_OF) - {"__main__"}
    assert {part_of(module) for module in MODULES} <= set(FLOOR_OF)

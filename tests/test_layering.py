"""Imports go down only: the floors of the package, read from its import statements."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "colorgan"
FLOORS = {
    "color": 0,
    "errors": 0,
    "files": 0,
    "flow": 1,
    "networks": 1,
    "losses": 1,
    "metrics": 1,
    "checkpoint": 1,
    "stages": 2,
    "callbacks": 2,
    "data": 2,
    "colorizer": 2,
    "processes": 2,
    "squash": 2,
    "smoothing": 2,
    "video": 2,
    "matroska": 2,
    "encode": 2,
    "film": 2,
    "deoldify_import": 2,
    "plan": 3,
    "assembly": 3,
    "cost": 3,
    "run_folder": 3,
    "checks": 3,
    "handover": 3,
    "trainers": 3,
    "schedule": 3,
    "protocol": 3,
    "clips": 3,
    "results": 3,
    "evaluation": 3,
    "report": 3,
    "figures": 3,
    "strips": 3,
    "comparison": 3,
    "runs": 3,
    "film_command": 4,
    "cli": 4,
    "plugins": 4,
    "sweeps": 4,
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names.add(node.module or "")
    return names


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_go_down_only(module):
    part = part_of(module)
    if part == "__init__":
        assert not imported(module)
        return
    for name in imported(module):
        root, _, rest = name.partition(".")
        if root == "colorgan" and rest:
            other = rest.split(".")[0]
            assert FLOORS[other] <= FLOORS[part], f"{module.name} (floor {FLOORS[part]}) imports {name}"
        if root == "pytorch_lightning":
            assert FLOORS[part] >= 2, f"{module.name} imports Lightning on floor {FLOORS[part]}"
        if root in ("hydra", "omegaconf"):
            assert FLOORS[part] >= 3 or part in ("checkpoint", "errors"), f"{module.name} imports {name}"
        assert root not in ("wandb", "lightning", "pkg_resources"), f"{module.name} imports {name}"


@pytest.mark.parametrize("module", sorted((PACKAGE / "stages").glob("*.py")), ids=lambda m: m.name)
def test_stages_know_neither_each_other_nor_data_nor_metrics(module):
    allowed = {f"colorgan.stages.{name}" for name in ("base", "turns", "rates")}
    names = {name for name in imported(module) if name.startswith("colorgan")}
    if module.name != "__init__.py":
        assert names <= allowed | {
            n for n in names if not n.startswith(("colorgan.stages", "colorgan.data", "colorgan.metrics"))
        }


def test_every_part_of_the_package_has_a_floor():
    assert {part_of(m) for m in MODULES} - {"__init__"} == set(FLOORS)

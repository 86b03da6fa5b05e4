"""README and docs: short enough, and every link, file, choice and override that they name exists."""

import re
import shlex
from pathlib import Path

import pytest

from colorgan.config import CONFIGS, compose

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
GROUPS = {str(path.parent.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml")} - {"."}
EXAMPLES = {"mine"}  # choices that a reader would add
COMMAND = re.compile(r"^(?:\w+=\S+ )*(?:srun \S+ )?python (train|evaluate)\.py (.*)$", re.MULTILINE)


def test_readme_has_at_most_150_lines():
    assert len(README.read_text().splitlines()) <= 150


def test_readme_links_to_every_page():
    linked = set(re.findall(r"\]\((docs/\w+\.md)", README.read_text()))
    assert linked == {f"docs/{page.name}" for page in PAGES[1:]}


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_pages_begin_with_what_they_are_for_and_for_whom(page):
    title, empty, first = page.read_text().splitlines()[:3]
    assert title.startswith("# ")
    assert not empty
    assert first.startswith("For whoever ")


def headings(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if not link.startswith("http")]
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_in_the_text_exist(page):
    named = re.findall(r"\b(?:benchmarks|colorgan|configs|docs|notebooks|tests)/[\w/]+\.\w+", page.read_text())
    own = {f"configs/{group}/{name}.yaml" for group in GROUPS for name in EXAMPLES}
    missing = {name for name in named if not (ROOT / name).exists()} - own
    assert not missing - {name.removeprefix("my_") for name in own}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_choices_are_yamls(page):
    chosen = re.findall(r"(?<![\w/.@+~])([a-z_]+(?:/[a-z_]+)*)=(\w+)", page.read_text())
    for group, choice in chosen:
        if group in GROUPS and choice not in EXAMPLES:
            assert (CONFIGS / group / f"{choice}.yaml").exists(), f"{group}={choice}"


def commands():
    """The overrides of every command of `train.py` and `evaluate.py` in the pages, without those of sweeps."""
    for page in PAGES:
        for name, words in COMMAND.findall(page.read_text()):
            overrides = [word for word in shlex.split(words, comments=True) if word != "..."]
            if not {"-m", "--help"} & set(overrides) and not EXAMPLES & {word.split("=")[-1] for word in overrides}:
                yield name, [word for word in overrides if "=" in word or word.startswith("~")]


@pytest.mark.parametrize(("name", "overrides"), {str(command): command for command in commands()}.values(), ids=str)
def test_commands_compose(name, overrides):
    compose(name, *overrides)


def test_tree_in_the_readme_is_that_of_the_package():
    package = ROOT / "colorgan"
    tree = README.read_text().split("\ncolorgan/\n", 1)[1].split("```")[0]
    rows = re.findall(r"^  (\w+)/ +\S.*?  +(.*)$", tree, re.MULTILINE)
    assert {folder for folder, _ in rows} == {path.parent.name for path in package.glob("*/__init__.py")}
    for folder, modules in rows:
        for module in modules.split():
            assert (package / folder / f"{module}.py").exists(), f"{folder}/{module}"


def test_runs_that_the_results_measure_are_named_by_their_commands():
    commands = "\n".join(re.findall(r"^python .*$", (ROOT / "docs" / "results.md").read_text(), re.MULTILINE))
    named = re.findall(r" name=([a-z_]+)", commands) + re.findall(r"--runs runs/([a-z_]+)", commands)
    measured = set(re.findall(r"\bruns/([a-z_]+)", commands))
    assert measured >= {"seed", "projected", "hints"}
    assert {run for run in measured if not any(name.startswith(run) for name in named)} == set()

"""The help of `colorgan train` and `colorgan evaluate`: one screen, read from the comments of the yamls."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from colorgan.config import CONFIGS

_WIDTH = 100
_IN_FULL = {"train": "experiment", "evaluate": "protocol"}  # the group whose choices get a line each, on top
_FIRST = ("scale", "data")  # the groups that come next
_USUAL = {
    "train": {
        "name=second": "the run folder is runs_dir/name; the same command goes on in it",
        "schedule.stages.gan.steps=400": "any value can be set; --cfg job shows all of them",
    },
    "evaluate": {
        "protocol.photos=all": "any value can be set; --cfg job shows all of them",
    },
}
_EXAMPLES = {
    "train": (
        "colorgan train experiment=nogan_video scale=minutes",
        "colorgan train -m experiment=nogan_video seed=0,1,2 schedule.stages.gan.steps=300,600",
    ),
    "evaluate": (
        "colorgan evaluate checkpoints=runs/nogan_video-minutes-samples",
        "colorgan evaluate checkpoints='runs/x/03-gan/snapshots/*.safetensors' data=folder data.path=photos",
        "colorgan evaluate checkpoints='[runs/a,runs/b]' data=clips data.path=my_clips",
    ),
}


def help_page(command: str) -> str:
    """Write the help of a command: its groups with their choices, its usual overrides, examples."""
    yaml = (CONFIGS / f"{command}.yaml").read_text()
    groups = {group: (chosen, about) for group, chosen, about in _groups(yaml)}
    groups = {group: groups[group] for group in sorted(groups, key=lambda group: group not in _FIRST)}
    first = _IN_FULL[command]
    chosen, about = groups.pop(first)
    values = {**dict(_values(yaml)), **_USUAL[command]}
    lines = [
        f"usage: colorgan {command} [GROUP=CHOICE ...] [KEY=VALUE ...]",
        f"{_first_sentence(yaml)}. Groups (*: the default):",
        f"  {first:<16} {about}:",
        *(f"    {name:<21} {_first_sentence(path.read_text())}" for name, path in _marked(first, chosen).items()),
        *(line for group, (choice, text) in groups.items() for line in _group(group, choice, text)),
        "",
        "Usual overrides:",
        *(f"  {key:<33} {text}" for key, text in values.items()),
        "",
        "Examples (add yamls of your own with --config-dir FOLDER):",
        *(f"  {line}" for line in _EXAMPLES[command]),
    ]
    return "\n".join(lines) + "\n"


def _groups(yaml: str) -> Iterator[tuple[str, str, str]]:
    """Read from a defaults list: group, its default choice, its comment; the groups inside `loss` come after it."""
    for group, chosen, about in re.findall(r"^  - (\w+): (\w+)  # (.*)$", yaml, re.MULTILINE):
        yield group, chosen, about
        path = CONFIGS / group / f"{chosen}.yaml"
        inside = path.read_text() if path.exists() else ""
        for inner, choice in re.findall(r"^  - (\w+): (\w+)$", inside, re.MULTILINE):
            yield f"{group}/{inner}", choice, ""


def _values(yaml: str) -> Iterator[tuple[str, str]]:
    """Read `key=value` and comment of the values that a yaml explains."""
    for key, value, about in re.findall(r"^(\w+): (\S+)  # (.*)$", yaml, re.MULTILINE):
        if not value.startswith("${"):
            yield f"{key}={'...' if value == '???' else value}", about


def _group(group: str, chosen: str, about: str) -> list[str]:
    """Lay out a group; one without a choice is no group to choose from."""
    names = list(_marked(group, chosen))
    if names == ["default*"] or (len(names) == 1 and chosen != "null"):
        return []
    text = f"{group:<16} {about}{': ' if about else ''}{', '.join(names)}"
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent=" " * 19, break_on_hyphens=False)


def _marked(group: str, chosen: str) -> dict[str, Path]:
    """The yamls of a group by choice, the default marked; `base` is what some of them share."""
    paths = [path for path in sorted((CONFIGS / group).glob("*.yaml")) if path.stem != "base"]
    return {f"{path.stem}{'*' if path.stem == chosen else ''}": path for path in paths}


def _first_sentence(yaml: str) -> str:
    """Read the first sentence of the comment that a yaml begins with."""
    comment = next(line for line in yaml.splitlines() if line.startswith("# ") and "@package" not in line)
    return comment[2:].split(". ")[0].rstrip(".:")

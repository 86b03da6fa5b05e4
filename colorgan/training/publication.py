"""Make of a run what others need to colorize with it: its generator, its config and a model card."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from colorgan.checkpoint import load_generator, read_header, save_checkpoint
from colorgan.files import copy_file, file_hash, write_text
from colorgan.hub import FILE

_OWN = ("format", "networks", "content", "versions", "gray_rule")  # of a header: the new file writes its own

_TOLD = ("## ", "### ", "|", "Brackets", "Difference", "Protocol")  # how lines of a report begin that the card repeats


def write_publication(run: Path, folder: Path, *, address: str, license_name: str, half: bool = False) -> None:
    """Write the generator of a finished run without its discriminator, its config, a picture and a model card.

    Args:
        run: its folder.
        folder: where to; made if it is missing, files of other names stay.
        address: under which `--checkpoint` finds it, for the card.
        license_name: identifier of the licence under which the weights are given away.
        half: store float16, half as large; it is computed in float32 all the same.

    Raises:
        FileNotFoundError: the run is not finished.
    """
    final = run / FILE
    if not final.is_file():
        raise FileNotFoundError(f"{run} holds no {FILE}: the run is not finished, or it is no run folder")
    header = read_header(final)
    facts = {key: value for key, value in header.items() if key not in _OWN}
    generator = load_generator(final)
    save_checkpoint(
        folder / FILE,
        {"generator": generator.half() if half else generator},
        configs={"generator": header["networks"]["generator"]},
        facts={**facts, "published_from": file_hash(final)},
    )
    config = _without_places(yaml.safe_load((run / "config.yaml").read_text()))
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    if (run / "final.png").is_file():
        copy_file(run / "final.png", folder / "final.png")
    card = model_card(run, header, config, address=address, license_name=license_name)
    write_text(folder / "README.md", card)


def model_card(run: Path, header: dict[str, Any], config: dict[str, Any], *, address: str, license_name: str) -> str:
    """Write the card of a run: what it is, how to use it, how it was made, what was measured, what it cannot do."""
    name = str(config["name"])
    front = yaml.safe_dump(
        {
            "license": license_name,
            "library_name": "colorgan",
            "pipeline_tag": "image-to-image",
            "tags": ["colorization", "gan", "nogan"],
        },
        sort_keys=False,
    )
    stages = [f"- {stage}" for stage in _stages(run)]
    through = ", ".join(header.get("trained_through", [])) or "no pretrained network"
    picture = ["![gray, stages, final and truth](final.png)", ""] if (run / "final.png").is_file() else []
    return "\n".join(
        [
            f"---\n{front}---",
            f"# {name}",
            "",
            "A generator that colours gray photos and film, trained with colorgan.",
            "",
            *picture,
            "## Use",
            "",
            f"```\ncolorgan colorize photo.jpg --checkpoint {address} --out colorized\n```",
            "",
            f'In Python: `colorgan.Colorizer.load("{address}")`.',
            "",
            "## Recipe",
            "",
            f"Seed {config['seed']}; all keys are in [config.yaml](config.yaml). {_photos(run)}",
            "",
            *stages,
            "",
            f"Handed on is step {header.get('step')} of {header.get('stage')}. Trained through: {through}. Gray rule: "
            f"{header.get('gray_rule')}.",
            "",
            "## Figures",
            "",
            _figures(run / "evaluation" / "report.md"),
            "## Limits",
            "",
            "Colours are guesses: a generator gives what is usual in the photos that it was trained on, and cannot",
            "know what a dress or a flag was. It was measured on photos that were turned gray, not on old film stock,",
            "and on photos like those it was trained on. Luma of the output is that of the input.",
            "",
        ]
    )


def _stages(run: Path) -> list[str]:
    lines = []
    for done in sorted(run.glob("[0-9]*/done.json")):
        facts = json.loads(done.read_text())
        lines.append(f"{done.parent.name}: {facts['steps']} steps, {facts['seconds']:.0f} s")
    return lines


def _photos(run: Path) -> str:
    counts = pd.read_csv(run / "manifest.csv")["split"].value_counts()
    return f"Trained on {counts.get('train', 0)} photos; {counts.get('val', 0)} were held out."


def _figures(report: Path) -> str:
    """Take the tables of a run's report with the lines that explain them; its pictures stay behind."""
    if not report.is_file():
        return "Nothing was measured.\n"
    kept = [line for line in report.read_text().splitlines() if line.startswith(_TOLD)]
    lines = [re.sub(r"^## (.*/)?", "### ", line) if line.startswith("## ") else line for line in kept]
    text = "\n".join(f"\n{line}\n" if not line.startswith("|") else line for line in lines)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _without_places(node: Any) -> Any:
    """Shorten absolute paths in a config to their last part: a stranger has other folders."""
    if isinstance(node, dict):
        return {key: _without_places(value) for key, value in node.items() if key not in ("runs_dir", "cache_dir")}
    if isinstance(node, list):
        return [_without_places(value) for value in node]
    return Path(node).name if isinstance(node, str) and node.startswith(("/", "~")) else node

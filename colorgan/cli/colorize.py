"""`colorgan colorize`: colour photos and films."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # heavy imports wait until the command runs, so that --help answers at once
    from PIL import Image

    from colorgan.colorize.colorizer import Colorizer


def colorize(
    source: Annotated[
        Path, typer.Argument(help="A photo, a folder of photos (subfolders too), a film, or a folder of its frames.")
    ],
    checkpoint: Annotated[str, typer.Option("--checkpoint", "-c", help="A .safetensors file or a run folder.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A folder, or for one photo a .png or .jpg file; for a film .mp4, .mov (H.264) or .mkv "
            "(lossless FFV1), or a folder for numbered frames.",
        ),
    ] = Path("colorized"),
    size: Annotated[
        int | None,
        typer.Option(help="Shorter side at which the network works; default: twice its training size."),
    ] = None,
    render_factor: Annotated[
        int | None, typer.Option(help="DeOldify's name for --size: 16 times this; 35 is its default with --squash.")
    ] = None,
    squash: Annotated[
        bool, typer.Option("--squash", help="As DeOldify: squash the photo to a square, merge in 8-bit YUV.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Write gray, colorized and original side by side; of a film the first two."),
    ] = False,
    batch: Annotated[
        int | None, typer.Option(help="Film: frames that go through the network at once [default: 8].")
    ] = None,
    smooth: Annotated[
        float, typer.Option(help="Film: weight of the frame before, along the motion; 0.8 averages over about five.")
    ] = 0.0,
    fps: Annotated[
        float | None, typer.Option(help="Film from a folder of frames: frames per second [default: 24].")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Film: go on with what an interrupted run left.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; default: cuda if there is one.")] = None,
) -> None:
    """Colorize photos and films at full resolution; what is in colour is turned gray first.

    The luma of each picture is kept exactly. EXIF orientation, transparency, 16-bit, palette and CMYK are understood.
    A film keeps sound, subtitles, chapters, time stamps, rotation, aspect and colour tags. A folder of frames is taken
    as a film if --out is one, or with --smooth or --fps.
    """
    from colorgan.media.film_reader import FILM_EXTENSIONS
    from colorgan.media.photo import UnreadablePhotoError, save_photo

    film_flags = {"--batch": batch is not None, "--smooth": bool(smooth), "--fps": fps is not None, "--resume": resume}
    into_film = out.suffix.lower() in FILM_EXTENSIONS
    if source.suffix.lower() in FILM_EXTENSIONS or (source.is_dir() and (into_film or smooth or fps is not None)):
        from colorgan.cli.film import colorize_film

        colorize_film(
            source,
            out,
            lambda: _load_colorizer(checkpoint, size=size, render_factor=render_factor, squash=squash, device=device),
            checkpoint=checkpoint,
            batch=8 if batch is None else batch,
            smooth=smooth,
            fps=fps,
            compare=compare,
            resume=resume,
            overwrite=overwrite,
        )
        return
    if any(film_flags.values()):
        given = ", ".join(flag for flag, used in film_flags.items() if used)
        raise ValueError(f"{given}: only for film, but {source} is none (known: {' '.join(sorted(FILM_EXTENSIONS))})")
    jobs = _plan(source, out, overwrite)
    colorizer = _load_colorizer(checkpoint, size=size, render_factor=render_factor, squash=squash, device=device)
    skipped: list[str] = []
    with typer.progressbar(jobs.items(), label="colorizing", hidden=len(jobs) == 1) as bar:
        for photo, target in bar:
            try:
                picture = _side_by_side(photo, colorizer) if compare else colorizer.colorize(photo)
            except UnreadablePhotoError as error:
                if len(jobs) == 1:
                    raise
                skipped.append(str(error))
                continue
            save_photo(picture, target)
    for line in skipped:
        typer.echo(f"skipped: {line}", err=True)
    done = len(jobs) - len(skipped)
    if not done:
        raise ValueError(f"none of the {len(jobs)} photos in {source} could be read")
    typer.echo(f"{done} colorized, {len(skipped)} skipped: {next(iter(jobs.values())) if len(jobs) == 1 else out}")


def _load_colorizer(
    checkpoint: str, *, size: int | None, render_factor: int | None, squash: bool, device: str | None
) -> "Colorizer":
    """DeOldify's way with `--squash`, else ours; a render factor is a size in steps of 16."""
    from colorgan.colorize.colorizer import Colorizer
    from colorgan.colorize.deoldify import DEFAULT_RENDER_FACTOR, RENDER_UNIT, SquashColorizer

    if size is not None and (render_factor is not None or squash):
        raise ValueError("--size does not go with --render-factor or --squash: give --render-factor, 16 pixels a step")
    if render_factor is not None and render_factor < 1:
        raise ValueError(f"--render-factor must be at least 1, got {render_factor}; DeOldify's are 7 to 45")
    if squash and render_factor is None:
        render_factor = DEFAULT_RENDER_FACTOR
    working_size = size if render_factor is None else RENDER_UNIT * render_factor
    return (SquashColorizer if squash else Colorizer).load(checkpoint, working_size=working_size, device=device)


def _plan(source: Path, out: Path, overwrite: bool) -> dict[Path, Path]:
    """The output file of each photo; refuses before any work what would overwrite something."""
    from colorgan.media.photo import EXTENSIONS

    if source.is_dir():
        photos = sorted(file for file in source.rglob("*") if file.suffix.lower() in EXTENSIONS and file.is_file())
        if not photos:
            raise FileNotFoundError(f"no photos in {source}; looked for {' '.join(sorted(EXTENSIONS))}")
        if out.suffix.lower() in EXTENSIONS:
            raise ValueError(f"{source} is a folder, so --out must be a folder, got {out}")
        stems = [photo.with_suffix("") for photo in photos]
        names = [p if stems.count(s) > 1 else s for p, s in zip(photos, stems, strict=True)]  # a.jpg beside a.png
        jobs = {p: out / n.relative_to(source).with_name(f"{n.name}.png") for p, n in zip(photos, names, strict=True)}
    elif source.is_file():
        jobs = {source: out if out.suffix.lower() in EXTENSIONS else out / f"{source.stem}.png"}
    else:
        raise FileNotFoundError(f"no photo or folder {source}")
    existing = [target for target in jobs.values() if target.exists()]
    if any(target.resolve() == photo.resolve() for photo, target in jobs.items()):
        raise ValueError(f"--out {out} would replace the original photos; choose another folder")
    if existing and not overwrite:
        raise ValueError(
            f"{existing[0]} exists ({len(existing)} of {len(jobs)} outputs do); use --overwrite or another --out"
        )
    return jobs


def _side_by_side(photo: Path, colorizer: "Colorizer") -> "Image.Image":
    import numpy as np
    import torch

    from colorgan.color import rgb_to_gray
    from colorgan.media.photo import read_photo
    from colorgan.media.sheet import picture_sheet, to_image

    original = read_photo(photo).convert("RGB")
    rgb = torch.from_numpy(np.array(original)).permute(2, 0, 1)[None] / 255
    gray = to_image(rgb_to_gray(rgb, colorizer.gray_rule)[0].expand(3, -1, -1))
    return picture_sheet([[gray, colorizer.colorize(original), original]], gap=0)

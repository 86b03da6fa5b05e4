"""`colorgan colorize`: colour photos and films."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # heavy imports wait until the command runs, so that --help answers at once
    from PIL import Image

    from colorgan.colorize.colorizer import Colorizer

_Source = Annotated[
    Path, typer.Argument(help="A photo, a folder of photos (subfolders too), a film, or a folder of its frames.")
]
_Checkpoint = Annotated[str, typer.Option("--checkpoint", "-c", help="A .safetensors file or a run folder.")]
_OUT = (
    "A folder, or for one photo a .png or .jpg file; for a film .mp4, .mov (H.264) or .mkv (lossless FFV1), "
    "or a folder for numbered frames."
)
_Out = Annotated[Path, typer.Option("--out", "-o", help=_OUT)]
_Size = Annotated[
    int | None, typer.Option(help="Shorter side at which the network works; default: twice its training size.")
]
_RenderFactor = Annotated[
    int | None, typer.Option(help="DeOldify's name for --size: 16 times this; 35 is its default with --squash.")
]
_Squash = Annotated[
    bool, typer.Option("--squash", help="As DeOldify: squash the photo to a square, merge in 8-bit YUV.")
]
_COMPARE = "Write gray, colorized and original side by side; of a film the first two."
_Compare = Annotated[bool, typer.Option("--compare", help=_COMPARE)]
_Batch = Annotated[int | None, typer.Option(help="Film: frames that go through the network at once.", show_default="8")]
_Smooth = Annotated[
    float, typer.Option(help="Film: weight of the frame before, along the motion; 0.8 averages over about five.")
]
_Fps = Annotated[float | None, typer.Option(help="Film from a folder of frames: frames per second.", show_default="24")]
_Resume = Annotated[bool, typer.Option("--resume", help="Film: go on with what an interrupted run left.")]
_Deinterlace = Annotated[
    bool, typer.Option("--deinterlace", help="Film: make progressive pictures of interlaced ones (bwdif).")
]
_Recolor = Annotated[
    bool, typer.Option("--recolor", help="Film: colorize shots that are in colour already, too; they are left else.")
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]
_Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps; default: cuda if there is one.")]


def colorize(
    source: _Source,
    checkpoint: _Checkpoint,
    out: _Out = Path("colorized"),
    size: _Size = None,
    render_factor: _RenderFactor = None,
    squash: _Squash = False,
    compare: _Compare = False,
    batch: _Batch = None,
    smooth: _Smooth = 0.0,
    fps: _Fps = None,
    resume: _Resume = False,
    deinterlace: _Deinterlace = False,
    recolor: _Recolor = False,
    overwrite: _Overwrite = False,
    device: _Device = None,
) -> None:
    """Colorize photos and films at full resolution; what is in colour is turned gray first.

    The luma of each picture is kept exactly. EXIF orientation, transparency, 16-bit, palette and CMYK are understood.
    A film keeps sound, subtitles, chapters, time stamps, rotation, aspect and colour tags. A folder of frames is taken
    as a film if --out is one, or with --smooth or --fps.
    """
    from colorgan.media.film_reader import FILM_ENDINGS

    load = partial(_load_colorizer, checkpoint, size=size, render_factor=render_factor, squash=squash, device=device)
    film_flags = {"--batch": batch is not None, "--smooth": bool(smooth), "--fps": fps is not None, "--resume": resume}
    film_flags |= {"--deinterlace": deinterlace, "--recolor": recolor}
    into_film = out.suffix.lower() in FILM_ENDINGS
    if source.suffix.lower() in FILM_ENDINGS or (source.is_dir() and (into_film or smooth or fps is not None)):
        from colorgan.checkpoint import find_checkpoint
        from colorgan.colorize.film import FilmOptions, colorize_film

        frames = 8 if batch is None else batch
        options = FilmOptions(frames, smooth, fps, compare, resume, overwrite, deinterlace, recolor)
        colorize_film(source, out, load, find_checkpoint(checkpoint), options)
    elif any(film_flags.values()):
        given = ", ".join(flag for flag, used in film_flags.items() if used)
        raise ValueError(f"{given}: only for film, but {source} is none (known: {' '.join(sorted(FILM_ENDINGS))})")
    else:
        _colorize_photos(source, out, load, compare=compare, overwrite=overwrite)


def _colorize_photos(
    source: Path, out: Path, load: Callable[[], "Colorizer"], *, compare: bool, overwrite: bool
) -> None:
    """Colorize a photo or a folder of them; damaged ones among several are skipped and counted."""
    from colorgan.media.photo import UnreadablePhotoError, save_photo

    jobs = _plan(source, out, overwrite)
    colorizer = load()
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
    """Load a checkpoint into a colorizer: DeOldify's way with `--squash`, else ours."""
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
    """Choose the output file of each photo; refuse before any work what would overwrite something."""
    from colorgan.media.photo import PHOTO_ENDINGS

    if source.is_dir():
        photos = sorted(file for file in source.rglob("*") if file.suffix.lower() in PHOTO_ENDINGS and file.is_file())
        if not photos:
            raise FileNotFoundError(f"no photos in {source}; looked for {' '.join(sorted(PHOTO_ENDINGS))}")
        if out.suffix.lower() in PHOTO_ENDINGS:
            raise ValueError(f"{source} is a folder, so --out must be a folder, got {out}")
        stems = [photo.with_suffix("") for photo in photos]
        names = [p if stems.count(s) > 1 else s for p, s in zip(photos, stems, strict=True)]  # a.jpg beside a.png
        jobs = {p: out / n.relative_to(source).with_name(f"{n.name}.png") for p, n in zip(photos, names, strict=True)}
    elif source.is_file():
        jobs = {source: out if out.suffix.lower() in PHOTO_ENDINGS else out / f"{source.stem}.png"}
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
    """Colorize a photo and put it between its gray and its original."""
    import numpy as np
    import torch

    from colorgan.color import rgb_to_gray
    from colorgan.media.photo import read_photo
    from colorgan.media.sheet import picture_sheet, to_image

    original = read_photo(photo).convert("RGB")
    rgb = torch.from_numpy(np.array(original)).permute(2, 0, 1)[None] / 255
    gray = to_image(rgb_to_gray(rgb, colorizer.gray_rule)[0].expand(3, -1, -1))
    return picture_sheet([[gray, colorizer.colorize(original), original]], gap=0)

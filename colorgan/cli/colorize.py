"""`colorgan colorize`: colour photos and films."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # heavy imports wait until the command runs, so that --help answers at once
    from colorgan.colorize.colorizer import Colorizer

_Source = Annotated[
    Path, typer.Argument(help="A photo, a folder of photos (subfolders too), a film, or a folder of its frames.")
]
_CHECKPOINT = "A .safetensors file, a run folder or hf://OWNER/NAME; small comes with this package."
_Checkpoint = Annotated[str, typer.Option("--checkpoint", "-c", help=_CHECKPOINT)]
_OUT = (
    "A folder, or for one photo a .png, .tif, .jpg, .webp ... file; for a film .mp4, .mov (H.264) or .mkv (lossless "
    "FFV1), or a folder for numbered frames."
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
_STRENGTH = "Of the GAN: 0 is the network before it, 1 as trained, up to 1.5; of a run, or with --blend-with."
_Strength = Annotated[float | None, typer.Option(help=_STRENGTH, show_default="1")]
_BlendWith = Annotated[str | None, typer.Option(help="The checkpoint of --strength 0; default: that of the run.")]
_COMPARE = "Write gray, colorized and original side by side; of a film the first two."
_Compare = Annotated[bool, typer.Option("--compare", help=_COMPARE)]
_HINTS = "Photo: known colours, a .json of points and strokes or a painted copy of the photo (docs/photos.md)."
_Hints = Annotated[Path | None, typer.Option(help=_HINTS)]
_Batch = Annotated[int | None, typer.Option(help="Film: frames that go through the network at once.", show_default="8")]
_SMOOTH = "Film: weight of the next frame on either side, along the motion; 0: frame by frame, as interlaced film is."
_Smooth = Annotated[float | None, typer.Option(help=_SMOOTH, show_default="0.8")]
_Fps = Annotated[float | None, typer.Option(help="Film from a folder of frames: frames per second.", show_default="24")]
_Resume = Annotated[bool, typer.Option("--resume", help="Film: go on with what an interrupted run left.")]
_Deinterlace = Annotated[
    bool, typer.Option("--deinterlace", help="Film: make progressive pictures of interlaced ones (bwdif).")
]
_Recolor = Annotated[
    bool, typer.Option("--recolor", help="Film: colorize shots that are in colour already, too; they are left else.")
]
_Shots = Annotated[
    Path | None, typer.Option(help="Film: a list by `colorgan shots`, which says what to do with which shot.")
]
_REFERENCES = "Film: a folder for one frame a shot in colour: exported, or read back once you have repaired them."
_References = Annotated[Path | None, typer.Option(help=_REFERENCES)]
_BLEND = "Film: a checkpoint that has the rest of each shot's strength in the list."
_Blend = Annotated[str | None, typer.Option(help=_BLEND)]
_FRAMES = "Film: do frames FROM..TO of a finished film again, in its parts, which --shots keeps."
_Frames = Annotated[str | None, typer.Option(help=_FRAMES)]
_Shot = Annotated[str | None, typer.Option(help="Film: do a shot of the list again, as --frames does.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]
_MaxMegapixels = Annotated[float, typer.Option(help="Photos: larger ones are skipped, as an attack may be.")]
_Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps; default: cuda if there is one.")]
_ENGINE = "torch, onnx, openvino, or auto: the fastest installed one that keeps the colours."
_Engine = Annotated[str, typer.Option(help=_ENGINE)]


def colorize(
    source: _Source,
    checkpoint: _Checkpoint = "small",
    out: _Out = Path("colorized"),
    size: _Size = None,
    render_factor: _RenderFactor = None,
    squash: _Squash = False,
    strength: _Strength = None,
    blend_with: _BlendWith = None,
    compare: _Compare = False,
    hints: _Hints = None,
    batch: _Batch = None,
    smooth: _Smooth = None,
    fps: _Fps = None,
    resume: _Resume = False,
    deinterlace: _Deinterlace = False,
    recolor: _Recolor = False,
    shots: _Shots = None,
    references: _References = None,
    blend: _Blend = None,
    frames: _Frames = None,
    shot: _Shot = None,
    overwrite: _Overwrite = False,
    max_megapixels: _MaxMegapixels = 500,
    device: _Device = None,
    engine: _Engine = "auto",
) -> None:
    """Colorize photos and films at full resolution; what is in colour is turned gray first.

    The luma of each picture is kept exactly, in 16 bits where the photo has them, and so are its metadata and pages.
    What is photo and what is film is found by looking inside; a folder tells at its end what was skipped and why, with
    exit code 1. A film keeps sound, subtitles, chapters, time stamps, rotation, aspect, fields, depth and colour tags;
    its shots in colour are left so. What is missing of a damaged one is told, with exit code 2. A folder of frames is
    taken as a film if --out is one, or with --smooth, --fps or --shots.

    On a CPU, --engine auto converts a checkpoint once for the fastest engine that is installed, if 1000 pictures or
    more are due; fewer take what was converted before, or torch. The last line says which engine it was.
    """
    from colorgan.checkpoint import SMALL, find_checkpoint

    if strength is not None or blend_with is not None:
        from colorgan.colorize.blends import strengthened

        checkpoint = str(strengthened(checkpoint, strength, blend_with))
    if checkpoint == SMALL:
        typer.echo("by the small model of this package (docs/small_model.md); --checkpoint takes another", err=True)
    load = partial(_load_colorizer, size=size, render_factor=render_factor, squash=squash, device=device, engine=engine)
    film_flags = {
        "--batch": batch is not None,
        "--smooth": smooth is not None,
        "--fps": fps is not None,
        "--resume": resume,
    }
    film_flags |= {"--deinterlace": deinterlace, "--recolor": recolor, "--shots": shots is not None}
    film_flags |= {"--blend": blend is not None, "--frames": frames is not None, "--shot": shot is not None}
    film_flags |= {"--references": references is not None}
    as_frames = any(option is not None for option in (smooth, fps, shots))
    if _is_film(source, out, as_frames=as_frames):
        from colorgan.colorize.film import FilmOptions, Network, colorize_film

        if hints is not None:
            raise ValueError(f"--hints goes with one photo, but {source} is a film")
        options = FilmOptions(
            8 if batch is None else batch,
            smooth,
            fps,
            compare,
            resume,
            overwrite,
            deinterlace,
            recolor,
            shots=shots,
            frames=frames,
            shot=shot,
            references=references,
        )
        other = None
        if blend is not None:
            other = Network(partial(load, blend), find_checkpoint(blend))
        colorize_film(source, out, partial(load, checkpoint), find_checkpoint(checkpoint), options, blend=other)
    elif any(film_flags.values()):
        given = ", ".join(flag for flag, used in film_flags.items() if used)
        raise ValueError(f"{given}: only for film, but {source} is none")
    else:
        from colorgan.colorize.photos import PhotoOptions, colorize_photos

        photo_options = PhotoOptions(compare, overwrite, max_megapixels, hints)
        if not colorize_photos(source, out, partial(load, checkpoint), find_checkpoint(checkpoint), photo_options):
            raise typer.Exit(1)


def _is_film(source: Path, out: Path, *, as_frames: bool) -> bool:
    """Tell film from photo by what is inside; frames and animations are a film where --out is one."""
    from colorgan.media.film_reader import FILM_ENDINGS
    from colorgan.media.formats import look_inside
    from colorgan.media.signatures import head_of, is_avif, is_webp

    into_film = out.suffix.lower() in FILM_ENDINGS and not out.is_dir()
    if source.is_dir():
        return into_film or as_frames
    if not source.is_file():
        return source.suffix.lower() in FILM_ENDINGS
    inside = look_inside(source)
    if inside.animated and into_film and (is_webp(head := head_of(source)) or is_avif(head)):
        raise ValueError(f"{source}: FFmpeg does not read animated WebP and AVIF; --out can end in .png, .webp or .gif")
    damaged_film = inside.kind is None and source.suffix.lower() in FILM_ENDINGS
    return inside.kind == "film" or damaged_film or (inside.animated and into_film)


def _load_colorizer(
    checkpoint: str,
    pictures: int,
    *,
    size: int | None,
    render_factor: int | None,
    squash: bool,
    device: str | None,
    engine: str,
) -> "Colorizer":
    """Load a checkpoint into a colorizer for so many pictures: DeOldify's way with `--squash`, else ours."""
    from colorgan.colorize.colorizer import Colorizer
    from colorgan.colorize.deoldify import DEFAULT_RENDER_FACTOR, RENDER_UNIT, SquashColorizer

    if size is not None and (render_factor is not None or squash):
        raise ValueError("--size does not go with --render-factor or --squash: give --render-factor, 16 pixels a step")
    if render_factor is not None and render_factor < 1:
        raise ValueError(f"--render-factor must be at least 1, got {render_factor}; DeOldify's are 7 to 45")
    if squash and render_factor is None:
        render_factor = DEFAULT_RENDER_FACTOR
    working_size = size if render_factor is None else RENDER_UNIT * render_factor
    return (SquashColorizer if squash else Colorizer).load(
        checkpoint, working_size=working_size, device=device, engine=engine, pictures=pictures
    )

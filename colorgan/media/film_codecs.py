"""Choose the encoder of a film by the ending of its file, and by depth and fields of its source."""

from dataclasses import dataclass, field

from av.codec.context import Flags
from av.video.stream import VideoStream

from colorgan.media.fields import LOWER_FIRST, PROGRESSIVE, UPPER_FIRST
from colorgan.media.film_facts import FULL, FilmFacts

FILM_OUTPUTS = (".mp4", ".mov", ".mkv")
# x264's macroblock tree reads memory that it never set (seen with PyAV 18.1 and glibc's MALLOC_PERTURB_): the same
# pictures would not give the same bits twice, and a resumed film not those of an uninterrupted one.
_X264_PARAMS = "mbtree=0"
_X264 = {"crf": "17", "preset": "fast", "x264-params": _X264_PARAMS}  # crf 17: DeOldify's
_FIRST = {UPPER_FIRST: "tff", LOWER_FIRST: "bff"}
# Wavefronts depend on the number of cores, and so would the bits.
_X265 = {"crf": "17", "preset": "fast"}
# Without B frames: x265 makes up the decoding times of segments that are shorter than its delay.
# Without weighted prediction: with it the same pictures gave 6 streams in 16 runs (x265 4.2), so did one frame thread.
_X265_PARAMS = "log-level=none:frame-threads=2:no-wpp=1:bframes=0:weightp=0"
_FFV1 = {"level": "3", "slicecrc": "1"}
_THREADS = 4  # x264's bits depend on their number, so it must not depend on the machine
_FFV1_DEPTHS = {8: "yuv444p", 10: "yuv444p10le", 12: "yuv444p12le", 16: "yuv444p16le"}


@dataclass(frozen=True)
class FilmCodec:
    """Say how pictures are encoded.

    Args:
        name: FFmpeg's, of the encoder.
        layout: of the pictures that it gets.
        depth: bits of a value.
        options: of the encoder.
        tag: four letters in MP4, None for the muxer's own.
        lost: in words, what of the source it cannot hold.
    """

    name: str
    layout: str
    depth: int = 8
    options: dict[str, str] = field(default_factory=dict)
    tag: str | None = None
    lost: tuple[str, ...] = ()

    @property
    def segment_ending(self) -> str:
        """MP4 keeps exact time stamps, Matroska rounds them to milliseconds; ProRes is QuickTime's."""
        return ".mov" if self.name == "prores_ks" else ".mp4"

    def marked(self, scan: int, usual: int) -> int:
        """Say how a picture of an interlaced film is marked: x264 has no progressive ones among the others."""
        return usual if scan == PROGRESSIVE and self.name == "libx264" else scan

    def configure(self, stream: VideoStream, scan: int) -> None:
        """Set what the encoder of a new stream is to know."""
        context = stream.codec_context
        context.pix_fmt = self.layout
        context.thread_type, context.thread_count = "FRAME", _THREADS
        context.flags |= Flags.frame_duration  # the last picture stays as long as in the source
        if scan != PROGRESSIVE:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        if self.tag is not None:
            context.codec_tag = self.tag


def choose_codec(ending: str, facts: FilmFacts) -> FilmCodec:
    """Choose the encoder: what every player shows for 8 bits, else what holds the depth; FFV1 without loss in .mkv.

    H.264 with 4:2:0 chroma and 8 bits is what every player and browser shows. Deeper film is HEVC in .mp4 (as HDR10
    is; x265 has no interlaced pictures, x264 does) and ProRes 422 HQ in .mov, if of limited range and without HDR10.
    """
    if ending == ".mkv":
        depth = min(depth for depth in _FFV1_DEPTHS if depth >= facts.depth)
        return FilmCodec("ffv1", _FFV1_DEPTHS[depth], depth, _FFV1)
    x264 = _X264 if facts.scan == PROGRESSIVE else _X264 | {"x264-params": f"{_X264_PARAMS}:{_FIRST[facts.scan]}=1"}
    lost = [f"{facts.depth - 10} of {facts.depth} bits (.mkv keeps all)"] if facts.depth > 10 else []
    hdr10 = ["HDR10 mastering and light levels (.mkv keeps them)"] if facts.mastering or facts.light else []
    if facts.depth == 8:
        return FilmCodec("libx264", "yuv420p", 8, x264, lost=tuple(hdr10))
    if ending == ".mov" and facts.color_range != FULL and not hdr10:  # ProRes knows neither
        return FilmCodec("prores_ks", "yuv422p10le", 10, {"profile": "hq"}, lost=tuple(lost))
    if facts.scan != PROGRESSIVE:
        return FilmCodec("libx264", "yuv420p10le", 10, x264, lost=(*lost, *hdr10))
    params = ":".join([_X265_PARAMS, *_hdr10(facts)])
    return FilmCodec("libx265", "yuv420p10le", 10, {**_X265, "x265-params": params}, "hvc1", tuple(lost))


def _hdr10(facts: FilmFacts) -> list[str]:
    """Word mastering display and light levels as x265 wants them: units of 0.00002 and of 0.0001 cd/m2."""
    words = []
    if facts.mastering is not None:
        points = [round(value * 50000) for value in facts.mastering[:8]]
        pairs = {name: points[2 * place : 2 * place + 2] for place, name in enumerate(("R", "G", "B", "WP"))}
        least, greatest = (round(value * 10000) for value in facts.mastering[8:])
        text = "".join(f"{name}({pairs[name][0]},{pairs[name][1]})" for name in ("G", "B", "R", "WP"))
        words.append(f"master-display={text}L({greatest},{least})")
    if facts.light is not None:
        words.append(f"max-cll={facts.light[0]},{facts.light[1]}")
    return [*words, "hdr10=1"] if words else []

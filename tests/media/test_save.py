"""Pictures are written at their depth, with what the photo says beside its pixels and a mark of how they were made."""

import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image

from colorgan.media.metadata import Metadata
from colorgan.media.photo import read_pages, read_scan
from colorgan.media.provenance import mark_colorized
from colorgan.media.save import write_scans
from colorgan.media.scan import Scan

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
IPTC = b"\x1c\x02\x78\x00\x06A barn"
COPYRIGHT = "© Müller".encode()


@pytest.fixture
def photo():
    """A turned photo with metadata of every kind, read."""
    exif = Image.Exif()
    exif[270], exif[33432], exif[306], exif[274] = "A barn", COPYRIGHT, "1931:05:04 10:00:00", 6
    exif[0x8769] = {0x9003: "1931:05:04 10:00:00", 0xA002: 30, 0xA003: 20}
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 30.0)}
    segment = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC + b"\0" * (len(IPTC) % 2)
    buffer = io.BytesIO()
    extra = b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8))
    image.save(buffer, "JPEG", exif=exif, xmp=XMP, extra=extra, dpi=(600, 300), comment="found in a drawer")
    return read_scan(buffer.getvalue())


def test_a_photo_of_one_pixel_is_written(tmp_path):
    write_scans([Scan(np.array([[[7]], [[8]], [[9]]], np.uint8).transpose(1, 2, 0))], tmp_path / "one.png")
    assert read_scan(tmp_path / "one.png").pixels.tolist() == [[[7, 8, 9]]]


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg", ".webp", ".avif"])
def test_metadata_stay_and_say_that_the_photo_is_upright(photo, tmp_path, ending):
    write_scans([photo], tmp_path / f"out{ending}")
    back = read_scan(tmp_path / f"out{ending}")
    assert back.pixels.shape[:2] == photo.pixels.shape == (30, 20)
    exif = back.metadata.exif
    assert exif[270] == "A barn"
    assert exif[306] == "1931:05:04 10:00:00"
    assert exif[33432].encode("latin-1") == COPYRIGHT
    assert exif[0x8769] == {0x9003: "1931:05:04 10:00:00", 0xA002: 20, 0xA003: 30}
    assert exif[0x8825] == {1: "N", 2: (48.0, 8.0, 30.0)}
    assert b'tiff:Orientation="1"' in back.metadata.xmp
    if ending in (".png", ".tif", ".jpg"):
        assert back.metadata.dpi == pytest.approx((300, 600), abs=0.01)  # turned, too
        assert back.metadata.iptc == IPTC
    if ending in (".png", ".jpg"):
        assert back.metadata.text["Comment"] == "found in a drawer"


def test_resolution_and_tags_of_a_tiff_stay(tmp_path):
    tags = [(315, 2, 0, "Jo", True), (33723, 7, len(IPTC), IPTC, True), (33550, 12, 3, (0.5, 0.25, 0.0), True)]
    gray = np.random.default_rng(0).integers(0, 65536, (20, 30), np.uint16)
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, gray, metadata=None, resolution=(200, 200), resolutionunit="centimeter", extratags=tags)
    write_scans([read_scan(source)], tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        page = tiff.pages.first
        assert (page.tags.valueof(315), page.tags.valueof(33550)) == ("Jo", (0.5, 0.25, 0.0))
        assert page.get_resolution("inch") == pytest.approx((508, 508))
        assert page.photometric == tifffile.PHOTOMETRIC.RGB
        assert np.array_equal(page.asarray()[..., 1], gray)


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("transparent", [False, True])
def test_lossless_formats_keep_depth_and_alpha(tmp_path, ending, dtype, transparent):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, np.iinfo(dtype).max, (9, 7, 3), dtype, endpoint=True)
    alpha = rng.integers(0, np.iinfo(dtype).max, (9, 7), dtype, endpoint=True) if transparent else None
    write_scans([Scan(pixels, alpha)], tmp_path / f"a{ending}")
    back = read_scan(tmp_path / f"a{ending}")
    assert back.pixels.dtype == dtype
    assert np.array_equal(back.pixels, pixels)
    assert (back.alpha is None) is not transparent
    assert alpha is None or np.array_equal(back.alpha, alpha)


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif"])
def test_all_frames_are_written_with_their_durations(tmp_path, ending):
    rng = np.random.default_rng(0)
    frames = [Scan(rng.integers(0, 256, (8, 8, 3), np.uint8), duration_ms=100 * n) for n in (1, 2, 3)]
    write_scans(frames, tmp_path / f"a{ending}")
    back = list(read_pages(tmp_path / f"a{ending}"))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, back, strict=True))
    if ending != ".tif":
        assert [frame.duration_ms for frame in back] == [100, 200, 300]


def test_the_mark_joins_the_history_that_is_there(photo):
    once = mark_colorized(photo.metadata, "colorgan 1", "a.safetensors (sha256 12)")
    twice = mark_colorized(once, "colorgan 2", 'b "&" c')
    assert twice.xmp.count(b"<xmpMM:History>") == 1
    assert twice.xmp.count(b'stEvt:action="colorized"') == 2
    event = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
    entries = ElementTree.fromstring(twice.xmp).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")
    said = [(entry.get(f"{event}softwareAgent"), entry.get(f"{event}parameters")) for entry in entries]
    assert said == [("colorgan 1", "a.safetensors (sha256 12)"), ("colorgan 2", 'b "&" c')]
    assert mark_colorized(replace(photo.metadata, xmp=b"rubbish"), "x", "y").xmp.startswith(b"<?xpacket")


def test_texts_of_png_go_where_other_formats_have_a_place(tmp_path, caplog):
    texts = {"Description": "A barn", "Author": "Müller", "Title": "Barn"}
    scan = Scan(np.zeros((8, 8), np.uint8), metadata=Metadata(text=texts))
    for ending in (".png", ".tif", ".jpg"):
        write_scans([scan], tmp_path / f"out{ending}")
        back = read_scan(tmp_path / f"out{ending}").metadata
        if ending == ".png":
            assert dict(back.text) == texts
        else:
            assert back.exif[270] == "A barn"
            assert back.exif[315].encode("latin-1").decode() == "Müller"
            assert f"{ending} has no place for the texts Title" in caplog.text


@pytest.mark.parametrize("ending", [".jpg", ".webp", ".gif"])
def test_sides_that_do_not_fit_are_refused_in_words(tmp_path, ending):
    with pytest.raises(ValueError, match="70000x1 pixels do not fit"):
        write_scans([Scan(np.zeros((1, 70000), np.uint8))], tmp_path / f"out{ending}")
    assert not list(tmp_path.iterdir())

import io
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from benchmarks.photo_grid import cases, largest_error
from colorgan.media.photo import UnreadablePhotoError, read_pages, read_photo, read_scan

TRANSPOSED = {  # EXIF orientation: what a viewer does with the stored pixels
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.fixture(scope="module")
def pixels():
    return np.ascontiguousarray(skimage.data.astronaut()[:96:4, :160:4])


def encoded(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="minisblack", metadata=None, **options)
    return buffer.getvalue()


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_keep_every_pixel(tmp_path, pixels, file_format):
    path = tmp_path / "photo"
    path.write_bytes(
        encoded(Image.fromarray(pixels), file_format, **({"lossless": True} if file_format == "WEBP" else {}))
    )
    photo = read_photo(path)
    assert photo.mode == "RGB"
    assert np.array_equal(np.asarray(photo), pixels)


def test_bytes_and_open_images_are_read_like_files(tmp_path, pixels):
    content = encoded(Image.fromarray(pixels), "PNG")
    for file in (content, Image.open(io.BytesIO(content))):
        assert np.array_equal(np.asarray(read_photo(file)), pixels)


@pytest.mark.parametrize("orientation", TRANSPOSED)
def test_exif_orientation_is_applied(pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read_photo(encoded(Image.fromarray(pixels), "PNG", exif=exif))
    assert np.array_equal(np.asarray(photo), TRANSPOSED[orientation](pixels))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_sixteen_bit_gray_is_scaled_and_rounded(tmp_path, dtype):
    values = np.array([[0, 128, 129, 257, 40000, 65535]], dtype=dtype)
    path = tmp_path / "gray.tif"
    Image.fromarray(values).save(path)
    photo = read_photo(path)
    assert photo.mode == "RGB"
    assert np.asarray(photo)[0].tolist() == [[v] * 3 for v in (0, 0, 1, 1, 156, 255)]  # 257 levels of 16 bits to one


def test_sixteen_bit_png_is_scaled():
    gray = np.linspace(0, 65535, 24).astype(np.uint16).reshape(4, 6)
    photo = read_photo(encoded(Image.fromarray(gray), "PNG"))
    assert np.array_equal(np.asarray(photo)[..., 1], np.rint(gray / 257))


@pytest.mark.parametrize("top", [1, 255])
def test_float_tiff_of_either_scale_is_read(top):
    gray = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    photo = read_photo(encoded(Image.fromarray(top * gray), "TIFF"))
    assert np.array_equal(np.asarray(photo)[..., 0], np.rint(255 * gray))


def test_palette_with_transparency_keeps_colours_and_alpha(pixels):
    indices = np.arange(24, dtype=np.uint8).reshape(4, 6) % 3
    image = Image.fromarray(indices, mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    photo = read_photo(encoded(image, "PNG", transparency=1))
    assert photo.mode == "RGBA"
    colors = np.array([[255, 0, 0, 255], [0, 255, 0, 0], [10, 20, 30, 255]])
    assert np.array_equal(np.asarray(photo), colors[indices])


def test_palette_without_transparency_is_rgb():
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    image.putpalette([255, 0, 0, 10, 20, 30])
    photo = read_photo(encoded(image, "GIF"))
    assert (photo.mode, np.asarray(photo)[0].tolist()) == ("RGB", [[255, 0, 0], [10, 20, 30]])


def test_gray_with_alpha_keeps_its_alpha():
    image = Image.fromarray(np.array([[[7, 255], [200, 50]]], dtype=np.uint8), mode="LA")
    photo = read_photo(encoded(image, "PNG"))
    assert (photo.mode, np.asarray(photo)[0].tolist()) == ("RGBA", [[7, 7, 7, 255], [200, 200, 200, 50]])


def test_cmyk_jpeg_shows_the_colours_it_was_made_from():
    flat = Image.new("RGB", (32, 32), (200, 120, 40))
    photo = read_photo(encoded(flat.convert("CMYK"), "JPEG", quality=95))
    assert photo.mode == "RGB"
    np.testing.assert_allclose(np.asarray(photo)[16, 16], (200, 120, 40), atol=4)  # JPEG


@pytest.mark.parametrize("mode", ["1", "L"])
def test_black_and_white_modes_become_rgb(mode):
    photo = read_photo(encoded(Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert(mode), "PNG"))
    assert (photo.mode, np.asarray(photo)[0].tolist()) == ("RGB", [[0] * 3, [255] * 3])


def test_one_pixel_is_a_photo():
    photo = read_photo(encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG"))
    assert (photo.size, photo.getpixel((0, 0))) == ((1, 1), (1, 2, 3))


def test_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime")]
    photo = read_photo(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert photo.getpixel((0, 0)) == (255, 0, 0)


def swapped_profile():
    """SRGB with the primaries of red and green exchanged in the table of tags."""
    content = srgb_profile()
    return content.replace(b"rXYZ", b"?XYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"?XYZ", b"gXYZ", 1)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_colour_profile_is_converted_to_srgb(pixels, file_format):
    photo = read_photo(encoded(Image.fromarray(pixels), file_format, icc_profile=swapped_profile()))
    assert photo.mode == "RGB"
    expected = pixels[..., [1, 0, 2]].astype(int)
    np.testing.assert_allclose(np.asarray(photo, dtype=int), expected, atol=2)  # the profile's 16-bit tables


def test_srgb_profile_changes_nothing(pixels):
    photo = read_photo(encoded(Image.fromarray(pixels), "PNG", icc_profile=srgb_profile()))
    np.testing.assert_allclose(np.asarray(photo, dtype=int), pixels.astype(int), atol=1)


@pytest.mark.parametrize("profile", [b"no profile at all", srgb_profile()[:200]])
def test_broken_colour_profile_leaves_the_numbers(pixels, profile):
    photo = read_photo(encoded(Image.fromarray(pixels), "PNG", icc_profile=profile))
    assert np.array_equal(np.asarray(photo), pixels)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_truncated_photo_is_unreadable(tmp_path, file_format):
    path = tmp_path / "half.photo"
    content = encoded(Image.fromarray(skimage.data.astronaut()[:128, :128]), file_format)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadablePhotoError, match=r"half\.photo cannot be read as a photo: ."):
        read_photo(path)


@pytest.mark.parametrize("content", [b"", b"dear diary", b"<html></html>", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_other_files_are_unreadable(tmp_path, content):
    path = tmp_path / "other.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadablePhotoError, match=r"other\.jpg cannot be read as a photo: ."):
        read_photo(path)


@pytest.mark.filterwarnings("ignore")  # PIL warns of what it repairs
@pytest.mark.parametrize("file_format", ["JPEG", "TIFF", "AVIF"])
def test_damaged_bytes_raise_nothing_else(file_format):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    image = Image.fromarray(skimage.data.astronaut()[:32, :32])
    content = encoded(image, file_format, **({} if file_format == "TIFF" else {"exif": exif}))
    rng = np.random.default_rng(0)
    unreadable = 0
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(min(len(content), 500), size=4):
            damaged[place] = rng.integers(256)
        try:
            read_photo(bytes(damaged))
        except UnreadablePhotoError:
            unreadable += 1
    assert 0 < unreadable < 150


def test_damaged_orientation_is_no_reason_to_refuse_a_photo():
    # the orientation stored as three bytes of text
    exif = Image.Exif()
    exif[0x0112], exif[0x0100] = 6, 7
    content = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif))
    entry = content.index(b"\x01\x00", content.index(b"Exif"))
    content[entry + 2 : entry + 4] = b"\x00\x02"
    assert read_photo(bytes(content)).size == (8, 8)


def test_a_photo_above_the_limit_is_refused_before_it_is_decoded(pixels):
    content = encoded(Image.fromarray(pixels), "PNG")
    assert read_photo(content, max_megapixels=0.00096).size == (40, 24)
    with pytest.raises(UnreadablePhotoError, match=r"40x24 pixels are more than 0\.0009 megapixels"):
        read_photo(content, max_megapixels=0.0009)
    assert Image.MAX_IMAGE_PIXELS  # that of other users of PIL stays


@pytest.mark.parametrize(("mode", "name"), list(cases()), ids=str)
def test_every_mode_and_property_is_read_as_numpy_computes_it(mode, name):
    # What littleCMS converts is within a level of 255: it holds a profile's numbers in 16 bits. Floats are rounded to
    # 16 bits, halves either way, before linear's curve, which is 13 times as steep near black.
    converted = name in ("linear", "gamma 2.2", "Adobe RGB") or "lab" in mode.space
    steep = 35 if name == "Adobe RGB" else 7
    half = name == "premultiplied" or (mode.dtype, mode.top) == ("f4", 65535)
    allowed = (1 if mode.out_top == 255 else steep) if converted else int(half)
    assert largest_error(mode, name) <= allowed


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "jpeg"])
def test_cut_deep_tiff_is_unreadable(tmp_path, compression):
    path = tmp_path / "cut.tif"
    gray = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8 if compression == "jpeg" else np.uint16)
    tifffile.imwrite(path, gray, compression=compression, metadata=None)
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 3])
    with pytest.raises(UnreadablePhotoError, match=r"cut\.tif cannot be read as a photo: ."):
        read_photo(path)


def test_overshoots_of_float_white_stay_white():
    photo = read_photo(tiff(np.array([[0, 0.5, 1, 1.2, -0.1, np.nan, np.inf]], np.float32)))
    assert np.asarray(photo)[0, :, 0].tolist() == [0, 128, 255, 255, 0, 0, 255]


def test_stated_white_of_wide_samples_is_taken():
    scan = read_scan(tiff(np.array([[0, 512, 1023]], np.uint32), extratags=[(341, 4, 1, 1023, True)]))
    assert scan.pixels.tolist() == [[0, round(512 / 1023 * 65535), 65535]]


def test_gamma_of_png_and_adobe_rgb_of_exif_are_profiles():
    linear = PngInfo()
    linear.add(b"gAMA", (100_000).to_bytes(4, "big"))
    photo = read_photo(encoded(Image.new("L", (2, 2), 55), "PNG", pnginfo=linear))
    assert photo.getpixel((0, 0)) == (128,) * 3  # 55 / 255 = 0.2157, whose sRGB is 0.502
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: "R03"}}
    photo = read_photo(encoded(Image.new("RGB", (2, 2), (100, 200, 100)), "PNG", exif=exif))
    assert photo.getpixel((0, 0)) == pytest.approx((0, 201, 93), abs=2)  # out of sRGB's gamut: red is cut


def test_pages_are_read_without_thumbnails():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for level, kind, size in ((10, 0, 20), (20, 0, 30), (99, 1, 5)):
            writer.write(np.full((size, size), level, np.uint16), subfiletype=kind, photometric="minisblack")
    assert [(p.pixels.shape, p.pixels[0, 0]) for p in read_pages(buffer.getvalue())] == [((20, 20), 10), ((30, 30), 20)]


def test_missing_file_is_missing_not_unreadable(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_photo(tmp_path / "nothing.jpg")


def test_palette_with_alpha_in_a_tiff_is_read():
    image = Image.fromarray(skimage.data.astronaut()[::16, ::16]).quantize(16).convert("PA")
    image.putalpha(77)
    scan = read_scan(encoded(image, "TIFF"))
    assert np.array_equal(scan.to_array(), np.asarray(image.convert("RGBA")))


def test_plain_ycbcr_and_deep_jpeg_in_a_tiff_are_read(pixels):
    scan = read_scan(encoded(Image.fromarray(pixels).convert("YCbCr"), "TIFF"))
    assert np.abs(scan.pixels.astype(int) - pixels).max() <= 3
    gray = np.repeat(np.linspace(0, 4095, 64).astype(np.uint16)[None, :, None], 16, axis=0).repeat(3, axis=2)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, gray, photometric="rgb", compression="jpeg", compressionargs={"level": 100})
    assert np.abs(read_scan(buffer.getvalue()).pixels / 65535 - gray / 4095).max() < 0.002


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_transparent_level_of_a_shallow_png_is_that_of_its_samples(bits):
    levels = np.arange(2**bits, dtype=np.uint8)
    row = np.packbits(np.unpackbits(levels[:, None], axis=1)[:, 8 - bits :]).tobytes()
    header = struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"tRNS", b"\0\1"), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    scan = read_scan(content)
    assert np.array_equal(scan.pixels[0], levels * (255 // (2**bits - 1)))
    assert np.array_equal(scan.alpha[0], np.where(levels == 1, 0, 255))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tags_and_orientation_of_a_big_tiff_are_read(byteorder):
    tags = [(274, 3, 1, 6, True), (33432, 2, 0, "(c) Miller", True)]
    content = tiff(np.zeros((20, 30), np.uint16), bigtiff=True, byteorder=byteorder, extratags=tags)
    scan = read_scan(content)
    assert scan.pixels.shape == (30, 20)
    assert scan.metadata.exif[33432] == "(c) Miller"


def test_directories_of_a_big_tiff_are_read():
    scan = read_scan(encoded(Image.new("L", (30, 20)), "TIFF", big_tiff=True, dpi=(300, 600), description="A barn"))
    assert scan.metadata.dpi == (300, 600)
    assert scan.metadata.exif[270] == "A barn"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xmp_of_any_spelling_turns_the_photo(encoding):
    packet = (
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        "<rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation = '6'/></rdf:RDF></x:xmpmeta>"
    ).encode(encoding) + b"\0\0"
    scan = read_scan(tiff(np.zeros((20, 30), np.uint8), extratags=[(700, 1, len(packet), packet, True)]))
    assert scan.pixels.shape == (30, 20)
    assert b"tiff:Orientation = '1'" in scan.metadata.xmp
    ElementTree.fromstring(scan.metadata.xmp)

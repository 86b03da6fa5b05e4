"""Data sets of the hub and local ones in its formats; what they name may come from a stranger."""

import io
import tracemalloc
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import datasets
import numpy as np
import pyarrow.parquet
import pytest
from huggingface_hub import constants
from PIL import Image

from colorgan.data import HubSource, StreamingDataModule
from colorgan.data.examine import examine_photo
from colorgan.data.fetch import LARGEST
from colorgan.data.own_files import OwnFiles
from colorgan.media.photo import UnreadablePhotoError


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets_cache"))


def flat(color, size=(8, 8)):
    return Image.new("RGB", size, color)


def colors_of(source):
    return [source.open(row).convert("RGB").getpixel((0, 0)) for row in source.listing()]


def test_hub_source_reads_a_local_image_folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, color in enumerate([(255, 0, 0), (0, 255, 0)]):
        flat(color).save(folder / f"{index}.png")
    source = HubSource(str(folder))
    assert colors_of(source) == [(255, 0, 0), (0, 255, 0)]
    assert source.listing()["name"][:] == ["train/00000000", "train/00000001"]


@pytest.fixture
def parquet(tmp_path):
    """A local data set with two image columns, a column `name` of its own, and a row without image."""
    features = {"thumb": datasets.Image(), "photo": datasets.Image(), "name": datasets.Value("string")}
    columns = {"thumb": [flat("blue")] * 3, "photo": [flat("red"), None, flat("lime")], "name": ["x", "y", "z"]}
    folder = tmp_path / "set"
    folder.mkdir()
    datasets.Dataset.from_dict(columns, features=datasets.Features(features)).to_parquet(folder / "test.parquet")
    return folder


def test_hub_source_takes_split_and_column(parquet):
    source = HubSource(str(parquet), split="test", image_column="photo")
    listing = source.listing()
    assert sorted(listing.column_names) == ["image", "name"]
    assert [source.open(listing[i]).getpixel((0, 0)) for i in (0, 2)] == [(255, 0, 0), (0, 255, 0)]
    assert colors_of(HubSource(str(parquet), split="test")) == [(0, 0, 255)] * 3  # the first image column


def test_hub_row_without_image_is_unreadable(parquet):
    source = HubSource(str(parquet), split="test", image_column="photo")
    with pytest.raises(UnreadablePhotoError, match="test/00000001 has no image"):
        source.open(source.listing()[1])


def test_hub_source_errors_name_the_config_key(parquet, tmp_path):
    with pytest.raises(ValueError, match=r"image columns \['thumb', 'photo'\], not 'name' \(data\.image_column\)"):
        HubSource(str(parquet), split="test", image_column="name").listing()
    with pytest.raises(FileNotFoundError, match=r"cannot be loaded: .*validation.*\(data\.path\)"):
        HubSource(str(parquet), split="validation").listing()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"dataset '.*empty' cannot be loaded: .+ \(data\.path\)"):
        HubSource(str(tmp_path / "empty")).listing()


@pytest.fixture
def server():
    """A server on this machine that has a photo at every address; it lists who asked."""
    content = io.BytesIO()
    flat("red").save(content, "PNG")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content.getvalue())

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    asked = []
    running = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=running.serve_forever, daemon=True).start()
    running.asked = asked
    yield running
    running.shutdown()
    running.server_close()


def name_paths(folder, paths):
    """Write a table whose photos are only named."""
    folder.mkdir(exist_ok=True)
    schema = datasets.Features({"image": datasets.Image()}).arrow_schema
    rows = [{"image": {"bytes": None, "path": path}} for path in paths]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), folder / "train.parquet")
    return folder


def errors_of(source, *, streaming=False):
    rows = source.stream() if streaming else source.listing()
    return [examine_photo({**row, "name": "x"}, source)[1]["error"] for row in rows]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_table_reaches_no_address_that_was_not_allowed_and_never_this_network(tmp_path, server, streaming):
    port = server.server_port
    hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0", "127.1"]
    paths = [f"http://{host}:{port}/x.png" for host in hosts]
    paths += [f"zip://x.png::http://127.0.0.1:{port}/x.zip", f"filecache::http://127.0.0.1:{port}/x.png"]
    folder = name_paths(tmp_path / "set", paths)
    errors = errors_of(HubSource(str(folder)), streaming=streaming)
    assert [error for error in errors[:6] if "data.hosts=[" not in error] == []
    allowed = ["127.0.0.1", "localhost", "::ffff:127.0.0.1", "2130706433", "0.0.0.0", "127.1"]
    source = HubSource(str(folder), hosts=[host for host in allowed if ":" not in host])
    errors = errors_of(source, streaming=streaming)
    assert all(errors)
    assert "127.0.0.1, which is no public address" in errors[0]
    assert server.asked == []


@pytest.mark.parametrize("streaming", [False, True])
def test_a_table_opens_files_of_its_own_alone(tmp_path, streaming):
    flat("red").save(tmp_path / "secret.png")
    inside = tmp_path / "set" / "in.png"
    inside.parent.mkdir()
    flat("lime").save(inside)
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "secret.png")
    with zipfile.ZipFile(tmp_path / "secret.zip", "w") as archive:
        archive.write(tmp_path / "secret.png", "secret.png")
    outside = [str(tmp_path / "secret.png"), "../secret.png", "link.png", f"file://{tmp_path}/secret.png"]
    outside += [f"local://{tmp_path}/secret.png", f"zip://secret.png::{tmp_path}/secret.zip", "ftp://example.org/a.png"]
    outside += ["hf://datasets/other/private/a.png", "s3://bucket/a.png", f"simplecache::file://{tmp_path}/secret.png"]
    folder = name_paths(tmp_path / "set", ["in.png", str(inside), *outside])
    inside.rename(tmp_path / "photo.tmp")  # so that `datasets` takes the folder for a table
    (tmp_path / "set" / "link.png").rename(tmp_path / "link.tmp")
    source = HubSource(str(folder))
    rows = list(source.stream() if streaming else source.listing())
    (tmp_path / "photo.tmp").rename(inside)
    (tmp_path / "link.tmp").rename(tmp_path / "set" / "link.png")
    assert [source.open({**row, "name": ""}).getpixel((0, 0)) for row in rows[:2]] == [(0, 255, 0)] * 2
    errors = [examine_photo({**row, "name": ""}, source)[1]["error"] for row in rows[2:]]
    assert ["is not opened" in error for error in errors] == [True] * len(outside)


@pytest.mark.parametrize("place", ["a\0b.png", "x" * 5000, "folder", "circle.png", "zip://a\0b::set.zip"])
def test_a_name_that_cannot_be_one_is_an_unreadable_photo(tmp_path, place):
    (tmp_path / "set" / "folder").mkdir(parents=True)
    (tmp_path / "set" / "circle.png").symlink_to("circle.png")
    with zipfile.ZipFile(tmp_path / "set" / "set.zip", "w") as archive:
        archive.writestr("a", b"")
    source = HubSource(str(tmp_path / "set"))
    image, facts = examine_photo({"image": {"bytes": None, "path": place}, "name": "x"}, source)
    assert image is None
    assert facts["error"]


def test_only_the_files_and_addresses_of_a_repository_are_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    files = OwnFiles("a/b", [])
    files.belongs_to(SimpleNamespace(repo_id="a/b"))
    own = tmp_path / "datasets--a--b" / "snapshots" / "1" / "x.png"
    assert files.content({"bytes": None, "path": str(own)}) == own
    for other in (tmp_path / "datasets--a--c" / "x.png", "hf://datasets/a/bc/x.png", "hf://datasets/a/b/../c/x.png"):
        with pytest.raises(UnreadablePhotoError, match="is not opened"):
            files.content({"bytes": None, "path": str(other)})
    with pytest.raises(Exception, match=r"offline|cannot be read|Cannot reach"):  # the address itself is asked for
        files.content({"bytes": None, "path": "hf://datasets/a/b@main/x.png"})


def test_a_set_without_a_photo_to_use_says_why(tmp_path, examine):
    source = HubSource(str(name_paths(tmp_path / "set", ["https://images.example.org/1.png"])))
    with pytest.raises(ValueError, match=r"none of 1 photos .*data\.hosts=\[images\.example\.org\] if you trust it"):
        examine(source)
    module = StreamingDataModule(source, cache_dir=str(tmp_path / "c"))
    with pytest.raises(ValueError, match=r"1 unreadable, such as: .*data\.hosts=\[images\.example\.org\]"):
        module.examine(min_size=16)


def test_a_host_is_a_name_alone():
    with pytest.raises(ValueError, match=r"'https://example\.org' is no name of a host.*\(data\.hosts\)"):
        HubSource("a/b", hosts=["https://example.org"])


@pytest.mark.parametrize("place", ["http://127.0.0.1:{port}/t.parquet", "../secret/*.png", "/etc/*.png"])
def test_a_card_that_names_files_of_others_is_refused_before_any_is_looked_for(tmp_path, server, place):
    place = place.format(port=server.server_port)
    folder = tmp_path / "set"
    folder.mkdir()
    flat("red").save(folder / "1.png")
    (folder / "README.md").write_text(f'---\nconfigs:\n- config_name: default\n  data_files: "{place}"\n---\n')
    with pytest.raises(ValueError, match=r"README\.md of .*set names .*, which is no file of its own \(data\.path\)"):
        HubSource(str(folder)).listing()
    assert server.asked == []
    (folder / "README.md").write_text("---\nconfigs: [\n---\n")
    with pytest.raises(ValueError, match=r"README\.md of .* cannot be read: .*\(data\.path\)"):
        HubSource(str(folder)).listing()


@pytest.fixture
def bomb(tmp_path):
    """A zip of less than 1 MB with a file of 150 MiB, beside a photo."""
    (tmp_path / "bomb").mkdir()
    content = io.BytesIO()
    flat("red", (40, 40)).save(content, "PNG")
    with zipfile.ZipFile(tmp_path / "bomb" / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", content.getvalue())
        with archive.open("1.png", "w") as member:
            for _ in range(150):
                member.write(bytes(2**20))
    return tmp_path / "bomb"


@pytest.mark.parametrize("streaming", [False, True])
def test_a_small_zip_of_a_large_file_takes_no_more_than_the_limit(bomb, tmp_path, streaming):
    source = HubSource(str(bomb))
    rows = [{**row, "name": ""} for row in (source.stream() if streaming else source.listing())]
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 2**20  # none unpacked
    assert source.open(rows[0]).getpixel((0, 0)) == (255, 0, 0)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadablePhotoError, match="holds more than 64 MiB"):
            source.open(rows[1])
        assert tracemalloc.get_traced_memory()[1] < 1.5 * LARGEST
    finally:
        tracemalloc.stop()


def test_a_zip_whose_header_lies_gives_no_more_than_it_claims(bomb):
    """The header of the large file says 1,000 bytes; the photo beside it is read all the same."""
    archive = bomb / "train.zip"
    content, size = archive.read_bytes(), (150 * 2**20).to_bytes(4, "little")
    archive.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    source = HubSource(str(bomb))
    rows = [{**row, "name": ""} for row in source.stream()]
    tracemalloc.start()
    try:
        assert source.open(rows[0]).getpixel((0, 0)) == (255, 0, 0)
        with pytest.raises(UnreadablePhotoError):
            source.open(rows[1])
        assert tracemalloc.get_traced_memory()[1] < LARGEST
    finally:
        tracemalloc.stop()


def test_other_photos_in_the_same_place_are_examined_anew(tmp_path, crops):
    """A stream keeps its held-out photos under the name of the set, and the state of its files."""
    (tmp_path / "set").mkdir()
    found = []
    for turn in (crops, crops[::-1]):
        for number in range(4):
            pixels = np.rot90(turn[number], 2 * len(found))
            Image.fromarray(pixels).save(tmp_path / "set" / f"{number}.png")
        source = HubSource(str(tmp_path / "set"))
        module = StreamingDataModule(source, validation_share=0.99, cache_dir=str(tmp_path / "cache"))
        found.append(set(module.examine(min_size=16).table["sha256"]))
    assert not found[0] & found[1]

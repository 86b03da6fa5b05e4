"""Photos from a stream: the same batches whatever is stopped, no photo held out is trained on, checks on the fly."""

import hashlib
import io
import zipfile
from itertools import islice
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import skimage.data
import torch
from datasets.distributed import split_dataset_by_node
from PIL import Image

from colorgan.data import HubSource, StreamingDataModule
from colorgan.data.examine import examine_photo
from colorgan.data.stream import StreamBatchSampler


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
    """Of 5 s by `datasets` at each parquet stream that is left: its threads might outlive the process otherwise."""
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)


@pytest.fixture(scope="module")
def crops():
    image = skimage.data.astronaut()
    return [image[y : y + 48, x : x + 40] for y in range(0, 240, 30) for x in range(100, 300, 40)]


@pytest.fixture(scope="module", params=["parquet", "imagefolder"])
def folder(request, tmp_path_factory, crops):
    """Forty photos in four files, or as single files; two of them gray, one damaged, one small."""
    path = tmp_path_factory.mktemp(request.param)
    images = [Image.fromarray(crop) for crop in crops]
    images[5], images[17] = images[5].convert("L").convert("RGB"), Image.new("RGB", (40, 48), "gray")
    images[30] = images[30].resize((8, 8))
    for index, image in enumerate(images):
        image.save(path / f"{index:02d}.png")
    (path / "12.png").write_bytes((path / "12.png").read_bytes()[:300])
    if request.param == "parquet":
        files = sorted(path.glob("*.png"))
        for part in range(4):
            rows = [{"image": {"bytes": f.read_bytes(), "path": f.name}} for f in files[10 * part : 10 * part + 10]]
            table = datasets.Dataset.from_list(rows, features=datasets.Features({"image": datasets.Image()}))
            table.to_parquet(str(path / f"train-{part}.parquet"))
        for file in files:
            file.unlink()
    return path


@pytest.fixture
def module(folder, tmp_path):
    def make(**options):
        defaults = {"block_size": 7, "validation_share": 0.25, "max_validation": 4, "cache_dir": str(tmp_path / "c")}
        made = StreamingDataModule(HubSource(str(folder)), **{**defaults, **options})
        made.examine(min_size=16)
        return made

    return make


def begin(module, *, step=0, places=None, steps=30, rank=0, world_size=1):
    module.begin_stage(gray_rule="luma601", image_size=16, batch_size=6, num_steps=steps, stage_index=1)
    module.load_state_dict({"places": places})
    module.trainer = SimpleNamespace(
        global_rank=rank, world_size=world_size, lightning_module=SimpleNamespace(steps=step)
    )
    return module.train_dataloader()


def test_batches_have_the_contract_of_all_data(module):
    batch = next(iter(begin(module())))
    assert {key: tuple(value.shape) for key, value in batch.items()} == {"gray": (6, 1, 16, 16), "rgb": (6, 3, 16, 16)}
    assert 0 <= batch["rgb"].min() < batch["rgb"].max() <= 1


@pytest.mark.parametrize("step", [3, 13])
def test_going_on_gives_the_batches_that_would_have_come(module, step):
    whole = module()
    expected = list(islice(begin(whole), 26))
    stopped = module(num_workers=2)  # workers fetch ahead; the place is that of the step, not of the last fetch
    batches = iter(begin(stopped))
    for _ in range(step):
        next(batches)
    stopped.trainer.lightning_module.steps = step
    state = stopped.state_dict()
    rest = list(islice(begin(module(), step=step, **state), 26 - step))
    assert len(rest) == 26 - step
    for got, wanted in zip(rest, expected[step:], strict=True):
        assert torch.equal(got["rgb"], wanted["rgb"])


def test_state_survives_a_file_that_holds_tensors_and_plain_values_only(module, tmp_path):
    made = module()
    batches = iter(begin(made))
    next(batches)
    made.trainer.lightning_module.steps = 1
    torch.save(made.state_dict(), tmp_path / "state")
    assert torch.load(tmp_path / "state", weights_only=True) == made.state_dict()


def test_an_epoch_holds_each_photo_once_and_the_next_another_order(folder):
    sampler = StreamBatchSampler(HubSource(str(folder)).stream(), batch_size=10, seed=3, num_steps=8, block_size=9)
    items = [item for batch in sampler for item in batch]
    contents = [row["image"]["bytes"] or row["image"]["path"] for _, row in items]
    assert len(set(contents[:40])) == 40
    assert sorted(map(str, contents[:40])) == sorted(map(str, contents[40:]))
    assert contents[:40] != contents[40:]
    assert len({key for key, _ in items}) == 80


def test_processes_share_the_stream(folder):
    seen = []
    for rank in range(2):
        part = split_dataset_by_node(HubSource(str(folder)).stream(), rank=rank, world_size=2)
        sampler = StreamBatchSampler(part, batch_size=5, seed=0, num_steps=4, block_size=6)
        seen.append({str(row["image"]["bytes"] or row["image"]["path"]) for batch in sampler for _, row in batch})
    assert not seen[0] & seen[1]
    assert len(seen[0] | seen[1]) == 40


def test_no_photo_held_out_is_trained_on(module, monkeypatch):
    made = module()
    validation = {made.library.table[i]["sha256"] for i in range(len(made.library.table))}
    assert len(validation) == 4
    used = []
    monkeypatch.setattr(
        "colorgan.data.stream.make_batch",
        lambda photos, rngs, **_: {"rgb": used.extend(photos), "gray": None},
    )
    list(islice(begin(made), 20))  # three epochs

    def digest(photo):
        return hashlib.sha256(f"{photo.shape[1::-1]}".encode() + photo.tobytes()).hexdigest()

    hashes = {digest(photo) for photo in used}
    assert not any(made.library.split.holds_out(value) for value in hashes)
    assert not hashes & validation


def test_examining_again_reads_the_cache(module, monkeypatch):
    first = module().library
    monkeypatch.setattr(HubSource, "stream", lambda self: pytest.fail("read again"))
    second = module().library
    assert first.table.to_list() == second.table.to_list()
    assert np.array_equal(first.original(0), second.original(0))


def test_held_out_photos_come_from_many_files(tmp_path):
    """Ten files of thirty photos, a class each: ten validation photos show several classes."""
    for kind in range(10):
        rows = []
        for number in range(30):
            pixels = np.random.default_rng([kind, number]).integers(256, size=(16, 16, 3), dtype=np.uint8)
            pixels[0, 0] = kind
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            rows.append({"image": {"bytes": buffer.getvalue(), "path": None}})
        (tmp_path / "set").mkdir(exist_ok=True)
        table = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image(decode=False))
        table.to_parquet(tmp_path / "set" / f"train-{kind:05d}-of-00010.parquet")
    options = {"validation_share": 0.3, "max_validation": 10, "cache_dir": str(tmp_path / "cache")}
    library = StreamingDataModule(HubSource(str(tmp_path / "set")), **options).examine(min_size=16)
    classes = {int(library.original(index)[0, 0, 0]) for index in library.splits["val"]}
    assert len(classes) >= 6  # read one after the other, ten photos fill up from the first two


def test_a_damaged_file_of_held_out_photos_is_read_again(module, tmp_path, caplog):
    first = module().library.table.to_list()
    [file] = (tmp_path / "c").glob("stream-*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert module().library.table.to_list() == first
    assert f"{file} is damaged" in caplog.text
    assert file.read_bytes() == content


@pytest.fixture
def archive(crops, tmp_path):
    """A folder with the first dozen as PNG in a zip, as many repositories of the hub are."""
    folder = tmp_path / "archive"
    folder.mkdir()
    with zipfile.ZipFile(folder / "train.zip", "w") as file:
        for index, crop in enumerate(crops[:12]):
            content = io.BytesIO()
            Image.fromarray(crop).save(content, "PNG")
            file.writestr(f"{index:02d}.png", content.getvalue())
    return folder


def test_photos_in_a_zip_are_read_listed_and_as_a_stream(archive, crops, tmp_path):
    source = HubSource(str(archive))
    for rows in (source.listing(), source.stream()):
        photos = [np.asarray(source.open({**row, "name": ""})) for row in rows]
        assert all(np.array_equal(photo, crop) for photo, crop in zip(photos, crops[:12], strict=True))
    made = StreamingDataModule(source, validation_share=0.5, max_validation=2, cache_dir=str(tmp_path / "c"))
    made.examine(min_size=16)
    assert len(made.library.table) == 2
    assert len(next(iter(begin(made)))["rgb"]) == 6


@pytest.mark.parametrize("damage", ["inside", "whole"])
def test_what_cannot_be_read_in_a_zip_is_left_out(archive, damage):
    rows = [{**row, "name": ""} for row in HubSource(str(archive)).stream()]
    content = (archive / "train.zip").read_bytes()
    first = content.index(b"IDAT") + 20
    damaged = content[:first] + b"damage" + content[first + 6 :] if damage == "inside" else content[:900]
    (archive / "train.zip").write_bytes(damaged)
    image, facts = examine_photo(rows[0], HubSource(str(archive)))
    assert image is None
    assert facts["error"].startswith("zip://00.png::")
    assert "cannot be read" in facts["error"]


def test_no_photo_to_use_or_none_held_out_is_said_with_the_counts(module, archive, tmp_path):
    with pytest.raises(ValueError, match=r"no photo of the stream can be used: 39 smaller than 64 px, 1 unreadable"):
        module().examine(min_size=64)
    options = {"max_validation": 2, "cache_dir": str(tmp_path / "c")}
    made = StreamingDataModule(HubSource(str(archive)), validation_share=1e-9, **options)
    with pytest.raises(ValueError, match=r"for validation \(12 usable\); raise data\.validation_share"):
        made.examine(min_size=16)


def test_a_share_of_a_stream_is_refused(module):
    with pytest.raises(ValueError, match=r"share=0\.5: a stream has no share"):
        module().begin_stage(gray_rule="luma601", image_size=16, batch_size=2, num_steps=2, stage_index=1, share=0.5)


def test_another_number_of_processes_is_refused(module):
    with pytest.raises(ValueError, match=r"streams under 2 processes, not 1 \(trainer\.devices\)"):
        begin(module(), places=[{}, {}])


@pytest.mark.slow
def test_training_from_a_stream_stopped_ends_in_the_same_bits(command, folder, tmp_path, monkeypatch):
    from colorgan.stages.base import Stage

    words = ["experiment=smoke", "data=hub_stream", f"data.path={folder}", f"runs_dir={tmp_path}/runs"]
    words += [f"data.cache_dir={tmp_path}/cache", "data.validation_share=0.25", "trainer.enable_progress_bar=false"]
    words += ["data.block_size=7", "schedule.times=0"]
    code, _, err = command("train", *words, "name=whole")
    assert code == 0, err
    after_step = Stage.on_train_batch_end

    def stop(self, *args):
        after_step(self, *args)
        if self.steps == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "on_train_batch_end", stop)
        assert command("train", *words, "name=stopped")[0] != 0
    assert (tmp_path / "runs" / "stopped" / "01-generator_pretrain" / "last.ckpt").exists()
    assert command("train", *words, "name=stopped")[0] == 0
    ends = [(tmp_path / "runs" / name / "final.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert ends[0] == ends[1]
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "weighted_sum", lambda self, *_: next(self.parameters()).sum() * float("nan"))
        code, _, err = command("train", *words, "name=diverged")
    assert code == 2, err
    assert "diverged in step 1: loss nan" in err
    assert "photos" not in err.splitlines()[-1]  # those of a stream have no names
    code, _, err = command("train", *words, "name=epochs", "schedule.stages.generator_pretrain.steps=null",
                          "+schedule.stages.generator_pretrain.epochs=2")  # fmt: skip
    assert code == 2
    assert "nobody knows how many photos a stream holds" in err
    rule = ["schedule.stages.gan.handover=inflection", "schedule.stages.gan.inflection.rule=held_out_critic"]
    code, _, err = command("train", *words[:-1], "name=rule", *rule)
    assert code == 2
    assert "held_out_critic judges photos that are trained on, and those of a stream cannot be read again" in err

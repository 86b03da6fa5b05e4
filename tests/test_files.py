"""Files of a run: on the disk before their names, and named before what comes later."""

import os
import threading
from collections import defaultdict
from pathlib import Path
from threading import get_ident

import pytest
import torch

from colorgan.files import Writer, atomic
from colorgan.training.schedule import Schedule


def test_what_a_run_goes_on_from_is_on_the_disk_before_it_has_its_name(smoke, monkeypatch):
    by_thread, sync, replace = defaultdict(list), os.fsync, os.replace

    def synced(descriptor):
        by_thread[get_ident()].append(("sync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def renamed(source, target):
        inode, name, folder = Path(source).stat().st_ino, Path(target).name, Path(target).parent.stat().st_ino
        by_thread[get_ident()].append(("rename", inode, name, folder))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    Schedule(smoke("schedule.times=0", "save_every=2")).run()
    kept = {"config.yaml", "manifest.csv", "metrics.jsonl", "last.ckpt", "handover.safetensors", "done.json"}
    kept.add("final.safetensors")
    found = set()
    for events in by_thread.values():
        for place, event in enumerate(events):
            if event[0] == "rename" and event[2] in kept:
                assert ("sync", event[1]) in events[:place], event
                assert events[place + 1] == ("sync", event[3]), event
                found.add(event[2])
    assert found == kept


def test_content_and_name_change_together(tmp_path):
    (tmp_path / "file").write_text("old")
    with atomic(tmp_path / "file") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "new"


def test_a_file_may_be_read_by_whom_the_user_lets_whoever_writes_it(tmp_path):
    with atomic(tmp_path / "weights") as temporary:
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors does
    (tmp_path / "other").touch()
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("old")

    def fail():
        with atomic(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_files_written_in_the_background_keep_their_order_and_none_follows_one_that_failed():
    writer, go_on, written = Writer(), threading.Event(), []
    writer.submit(go_on.wait)
    writer.submit(lambda: written.append("first"))
    assert not written  # nobody has waited for it
    go_on.set()
    writer.submit(lambda: Path("/nowhere/file").write_text(""))
    writer.submit(lambda: written.append("after it"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        writer.wait()
    assert written == ["first"]
    writer.wait()  # told once


def test_the_writing_thread_takes_no_threads_of_its_own():
    """With a second team of OpenMP threads a training step on all cores took half as long again."""
    writer, seen, own = Writer(), [], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        writer.submit(lambda: seen.append(torch.get_num_threads()))
        writer.wait()
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(own)

"""Run folders as training leaves them."""

import hashlib
import json
from itertools import product

import pytest
import yaml

METRICS = {"psnr": {"_target_": "colorgan.metrics.PSNR"}, "ciede": {"_target_": "colorgan.metrics.CIEDE2000"}}


@pytest.fixture
def add_run(tmp_path):
    """Write a run folder as training leaves it; `values` None: it is not finished; `photos`: their hash."""

    def add(name, values=None, *, config=None, clips=None, sizes=None, how=None, photos="a", **keys):
        folder = tmp_path / "runs" / name
        (folder / "evaluation").mkdir(parents=True)
        whole = {"seed": 0, "objective": "psnr", "metrics": METRICS, "name": name, "stage": keys}
        (folder / "config.yaml").write_text(yaml.safe_dump({**whole, **(config or {})}))
        if values is not None:
            (folder / "final.safetensors").write_bytes(b"")
            rows = [("gray", {"psnr": 99.0}, "photos"), ("final", values, "photos")]
            rows += [("gray", {"psnr": 99.0}, "clips"), ("final", clips, "clips")] if clips else []
            for (row, metrics, unit), size in product(rows, sizes or (64,)):
                protocol = {f"num_{unit}": 20, "num_groups": 12, "image_size": size, f"{unit}_sha256": photos}
                record = {"key": f"{row}{unit}{size}", "name": row, "metrics": metrics, "protocol": protocol}
                record |= {"intervals": {}, "seconds": {}, "metric_protocols": how or {}}
                record |= {"data": {"kind": "folder", "path": "my_photos"}}
                record |= {"checkpoint": {"sha256": hashlib.sha256(b"").hexdigest()}} if row == "final" else {}
                with (folder / "evaluation" / "metrics.jsonl").open("a") as file:
                    file.write(json.dumps(record) + "\n")
        return folder

    return add


@pytest.fixture
def sweep(add_run, tmp_path):
    """Two values of a rate under two seeds; the worse rate has the best single run."""
    for seed, psnr in enumerate((20.0, 22.0)):
        add_run(f"rate=1,seed={seed}", {"psnr": psnr, "ciede": 5.0}, config={"seed": seed}, rate=1, twin=10)
    for seed, psnr in enumerate((17.0, 23.0)):
        add_run(f"rate=2,seed={seed}", {"psnr": psnr, "ciede": 6.0}, config={"seed": seed}, rate=2, twin=20)
    return tmp_path / "runs"

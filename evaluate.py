"""Measure checkpoints on the validation photos of a data set, beside the baselines.

python evaluate.py checkpoints=runs/nogan_video-samples
python evaluate.py checkpoints='runs/x/03-gan/snapshots/*.safetensors' data=folder data.path=my_photos
"""

import os
from pathlib import Path

import hydra
from omegaconf import DictConfig

from colorgan.errors import one_line_errors

os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra lets errors through, and `one_line_errors` words them


@hydra.main(version_base="1.3", config_path=str(Path(__file__).parent / "configs"), config_name="evaluate")
def main(config: DictConfig) -> None:
    """Evaluate the checkpoints of a config."""
    # Heavy imports wait until here, so that --help answers at once.
    from colorgan.checkpoint import find_checkpoints, read_header, write_json
    from colorgan.evaluation import evaluate_checkpoints, print_table, save_comparison
    from colorgan.plan import SPLIT_KEYS, build_datamodule, build_metrics

    checkpoints = find_checkpoints(config.checkpoints)
    headers = [read_header(path) for path in checkpoints.values()]
    header = headers[0]
    for key in ("gray_rule", "split"):
        if any(other[key] != header[key] for other in headers):
            raise ValueError(f"these checkpoints differ in {key}: they cannot share a table (checkpoints)")
    image_size = config.image_size or header["image_size"]
    seed = config.seed
    if seed is None:  # the photos that the run never trained on, if it is given the run's photos
        seed = header["split"]["seed"]
        config.data.update({key: header["split"][key] for key in SPLIT_KEYS})
    if config.data.store_size is not None:
        config.data.store_size = max(config.data.store_size, image_size)
    datamodule = build_datamodule(config.data, seed=seed, gray_rule=header["gray_rule"])
    print(datamodule.examine(min_size=image_size).summary())
    records = evaluate_checkpoints(checkpoints, datamodule, build_metrics(config.metrics), image_size=image_size)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "evaluation.json", records)
    save_comparison(out / "comparison.png", checkpoints, datamodule, image_size=image_size)
    print_table(records)
    columns = " | ".join(checkpoints)
    print(f"records: {out / 'evaluation.json'}\npicture (gray | {columns} | truth): {out / 'comparison.png'}")


if __name__ == "__main__":
    with one_line_errors():
        main()

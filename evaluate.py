"""Measure checkpoints on data sets, beside the baselines.

python evaluate.py checkpoints=runs/nogan_video-samples
python evaluate.py checkpoints='runs/x/03-gan/snapshots/*.safetensors' data=folder data.path=my_photos
python evaluate.py checkpoints='[runs/a,runs/b]' data=folder data.path='[photos,other_photos]'
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
    from colorgan.evaluation.compare import compare, write_report
    from colorgan.evaluation.report import print_table

    tables = compare(config)
    for table, _ in tables:
        print_table(table)
    report = write_report(tables, Path(config.out), with_truth=config.truth)
    print(f"report with paired tests and pictures: {report}")


if __name__ == "__main__":
    with one_line_errors():
        main()

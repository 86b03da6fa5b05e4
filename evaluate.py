"""Measure checkpoints, from a checkout: `python evaluate.py checkpoints=runs/x`; the same as `colorgan evaluate`."""

from colorgan.cli.evaluate import main

if __name__ == "__main__":
    main()

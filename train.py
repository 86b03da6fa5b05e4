"""Train a colorizer, from a checkout: `python train.py experiment=nogan_video`; the same as `colorgan train`."""

from colorgan.cli.train import main

if __name__ == "__main__":
    main()

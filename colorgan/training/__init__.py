"""Train a colorizer: the order of the stages, the run folder, hand-over and resume."""

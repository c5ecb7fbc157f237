"""The configuration files, shipped with the package and found by Hydra as pkg://qrnn.configs."""

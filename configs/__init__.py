"""The configuration files, which Hydra finds as pkg://qrnn.configs."""

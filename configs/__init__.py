"""The config files, as the package `lamm_configs`: `trainers/<Trainer>/`, `datasets/` and `sweeps/`."""

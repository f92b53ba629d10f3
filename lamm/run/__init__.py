"""One run: its plan, its checks, its execution, its record. Trainers are known here by name only."""

IMPORTED_ONCE = ("lamm_trainers.base", "lamm.run.execute", "open_clip", "torch.utils.tensorboard")
"""What every run imports besides its own trainer: who starts several runs imports it before."""

"""`lamm train-tiny-clip`, from a checkout; see `lamm/commands/train_tiny_clip.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("train-tiny-clip")

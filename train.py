"""`lamm train`, from a checkout; see `lamm/commands/train.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("train")

"""`lamm backbones`, from a checkout; see `lamm/commands/backbones.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("backbones")

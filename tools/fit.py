"""`lamm fit`, from a checkout; see `lamm/commands/fit.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("fit")

"""`lamm merge`, from a checkout; see `lamm/commands/merge.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("merge")

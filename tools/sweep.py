"""`lamm sweep`, from a checkout; see `lamm/commands/sweep.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("sweep")

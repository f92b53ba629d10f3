"""`lamm prepare-data`, from a checkout; see `lamm/commands/prepare_data.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("prepare-data")

"""`lamm export`, from a checkout; see `lamm/commands/export.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("export")

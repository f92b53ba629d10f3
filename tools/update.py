"""`lamm update`, from a checkout; see `lamm/commands/update.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("update")

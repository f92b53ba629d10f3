"""`lamm add`, from a checkout; see `lamm/commands/add.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("add")

"""`lamm check-data`, from a checkout; see `lamm/commands/check_data.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("check-data")

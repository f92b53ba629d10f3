"""`lamm get`, from a checkout; see `lamm/commands/get.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("get")

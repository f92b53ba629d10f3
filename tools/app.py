"""`lamm app`, from a checkout; see `lamm/commands/app.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("app")

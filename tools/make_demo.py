"""`lamm make-demo`, from a checkout; see `lamm/commands/make_demo.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("make-demo")

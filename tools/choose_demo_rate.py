"""`lamm choose-demo-rate`, from a checkout; see `lamm/commands/choose_demo_rate.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("choose-demo-rate")

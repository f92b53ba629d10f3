"""`lamm predict`, from a checkout; see `lamm/commands/predict.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("predict")

"""`lamm review`, from a checkout; see `lamm/commands/review.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("review")

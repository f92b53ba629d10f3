"""`lamm train`, from a checkout; see `lamm/commands/train.py`."""

from lamm.commands.train import main, train_parser
from lamm.parallel.command import run

if __name__ == "__main__":
    run(train_parser(), main)

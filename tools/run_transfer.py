"""Interim door."""

import sys

from lamm.commands import run_transfer as series
from lamm.commands.parser import run

if __name__ == "__main__":
    run(series.parser(series.protocol_of(sys.argv)), series.main)

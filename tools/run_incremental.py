"""Interim door."""

from lamm.commands import run_incremental as series
from lamm.commands.parser import run

if __name__ == "__main__":
    run(series.parser(), series.main)

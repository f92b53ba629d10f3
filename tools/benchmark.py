"""`lamm benchmark`, from a checkout; see `lamm/commands/benchmark.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("benchmark")

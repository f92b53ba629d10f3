"""`lamm benchmark-loading`, from a checkout; see `lamm/commands/benchmark_loading.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("benchmark-loading")

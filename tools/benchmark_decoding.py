"""`lamm benchmark-decoding`, from a checkout; see `lamm/commands/benchmark_decoding.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("benchmark-decoding")

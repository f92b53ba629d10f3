"""`lamm parse-results`, from a checkout; see `lamm/commands/parse_results.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("parse-results")

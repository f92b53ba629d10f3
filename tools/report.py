"""`lamm report`, from a checkout; see `lamm/commands/report.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("report")

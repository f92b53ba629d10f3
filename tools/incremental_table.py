"""`lamm incremental-table`, from a checkout; see `lamm/commands/incremental_table.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("incremental-table")

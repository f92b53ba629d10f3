"""`lamm run`, from a checkout; see `lamm/commands/series.py`. The scripts in scripts/ call it."""

from lamm.commands import call

if __name__ == "__main__":
    call("run")

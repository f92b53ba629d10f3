"""`lamm plot-few-shot`, from a checkout; see `lamm/commands/plot_few_shot.py`."""

from lamm.commands import call

if __name__ == "__main__":
    call("plot-few-shot")

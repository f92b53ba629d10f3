"""The HTML report of a folder of runs: one self-contained page."""

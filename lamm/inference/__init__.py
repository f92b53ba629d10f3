"""Using what a run has learned: its folder read back, new photos classified, the classifier exported."""

"""A whole grid of runs as one job: planned at once, several at a time, resumable, on this machine, Ray or Slurm."""

"""What the benchmark command measures with, and the slow path that it compares with."""

"""Learned tensors on the disk: by class name, from the original code, and the labels alone."""

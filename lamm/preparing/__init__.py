"""Laying out a benchmark data set from its original archives: safe unpacking, downloads, nothing overwritten."""

"""Checking the data on disk: whole, partial or absent, and everything that is wrong with it, in one go."""

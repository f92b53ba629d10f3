"""The library that the LAMM trainers stand on; nothing here knows a trainer's name."""

__version__ = "0.1.0"

"""Makes `photo_files` importable."""

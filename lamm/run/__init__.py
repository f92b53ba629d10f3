"""One run: its plan, its fingerprint, its record. Trainers are known here by name only."""

"""One run: its plan, its checks, its execution, its record. Trainers are known here by name only."""

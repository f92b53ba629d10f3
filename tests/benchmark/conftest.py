"""Makes the learners of the trainers' tests importable."""

"""Image features of a frozen tower, encoded once and stored, for trainers that leave the tower as it is."""

"""Image features of a frozen tower, encoded once and kept: what a trainer that leaves the tower alone needs of it."""

"""A look at a user's photos before or after training: labels, duplicates, quality, and what to photograph next."""

"""Transfer of trained models: other domains, new classes, other data sets. What to run for it, and in what order."""

"""A classifier in the hand: `lamm.Classifier`, an estimator on the trainers, and the file that it is saved as."""

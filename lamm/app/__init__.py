"""The page on which one makes a classifier from photos, in a browser, offline: `lamm app`."""

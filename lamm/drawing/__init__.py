"""Images drawn by code: the demo data set `shapes` and the training images of the embedded model.

Random numbers come from `numpy.random.RandomState`, whose streams NumPy keeps the same across its versions.
"""

"""Several processes that train one model together, as torchrun starts them.

Every process draws the same batches. It encodes its share of a batch's images and its share of the classes. The
features are gathered, so that each process has all of them and computes the same loss of the whole batch. The gather
passes gradients on, and the learner's gradients are averaged. A process on its own uses none of this.
"""

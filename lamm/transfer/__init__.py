"""Transfer of trained models: other domains, new classes, other data sets. What to run for it, and in what order."""

DOMAIN_GENERALIZATION = "domain_generalization"
BASE_TO_NEW = "base_to_new"
CROSS_DATASET = "cross_dataset"
PROTOCOLS = (DOMAIN_GENERALIZATION, BASE_TO_NEW, CROSS_DATASET)
BASE, NEW = "base", "new"

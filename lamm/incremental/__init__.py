"""Class-incremental learning (arXiv:2312.08212, Table 2): the step, the runs, their results, the table."""

"""How each torch operator computes one cell: one file per family of operators."""

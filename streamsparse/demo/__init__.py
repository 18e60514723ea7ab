"""Real input without a network: the Python standard library as a sparse or dense matrix."""

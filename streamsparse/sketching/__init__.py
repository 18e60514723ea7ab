"""What S is, as arithmetic on (seed, column), and how many rows it needs."""

"""Each method: what it needs of a pass, its accumulators, and its dense finish."""

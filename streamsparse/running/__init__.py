"""Plans, and the one loop over the data."""

"""The small dense stage: factorisations, attention, and what a certificate measures."""

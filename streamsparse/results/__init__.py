"""What a reduction returns, and how it is kept."""

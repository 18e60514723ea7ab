"""Read-only providers of blocks: every input, seen as X (n, d)."""

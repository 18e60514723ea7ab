"""Compiled loops over arrays: serial, nogil, no allocation, result in the last argument."""

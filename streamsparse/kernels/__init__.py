"""Loops over arrays, compiled: serial, nogil, no allocation per element, result in the last argument."""

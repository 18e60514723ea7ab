"""Temporary and final files: operations, commit, the Zarr groups we write, column buckets."""

"""The public functions: the only place with defaults, and the glue between the layers."""

"""Parameters of tests of which most wait for the slow suite."""

import pytest


def slow_but(values, *quick):
    """Return parameters, all but the quick ones marked slow."""
    return [
        value
        if value in quick
        else pytest.param(
            *(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow
        )
        for value in values
    ]

"""A result at a glance: what repr and notebooks show of it, without looking at Y."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

import streamsparse as ss
from html_tools import Parsed

EVIL = "<script>alert(1)</script>.zarr"


class Untouchable:
    """A Y that has a shape, and of which anything else is too much."""

    def __init__(self, shape):
        object.__setattr__(self, "_shape", shape)

    def __getattribute__(self, name):
        if name == "shape":
            return object.__getattribute__(self, "_shape")
        # What isinstance asks for.
        if name == "__class__":
            return Untouchable
        raise AssertionError(f"Y.{name} was asked for")

    def __getitem__(self, key):
        raise AssertionError("Y was read")

    __len__ = __iter__ = __array__ = __getitem__


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((12, 3000))


@pytest.fixture(scope="module")
def result(X):
    return ss.sparsify(X, "sketch", m=64)


def shown(result):
    """Return what repr and card say, both checked for form."""
    text = repr(result)
    assert max(map(len, text.splitlines())) <= 80
    return text, Parsed(result._repr_html_()).text


def test_result__shows_itself_without_touching_Y(result):
    far = replace(result, Y=Untouchable((12, 64)))
    for text in shown(far):
        assert "Y in memory, 6.00 KiB" in text
    assert shown(far) == shown(result)


def test_result__says_everything_at_a_glance(result):
    text, card = shown(result)
    first, second, *_, last = text.splitlines()
    assert first == "Result"
    assert second == "X 12 x 3,000 -> Y 12 x 64   method sketch, seed 0"
    assert last == "  Y in memory, 6.00 KiB; next: .transform(X_new), .save(path), .report(path)"
    assert str(result.certificate) in text
    for label in ("Measured errors", "Y = 0", "The run", "The plan", "no error was asked for"):
        assert label in card


def test_result__offers_no_transform_where_there_is_no_map(X):
    for text in shown(ss.sparsify(X, "exact")):
        assert "next: .save(path), .report(path)" in text


def test_result__says_where_Y_is_on_disk(result, tmp_path):
    result.save(tmp_path / "Y.zarr")
    for text in shown(ss.load(tmp_path / "Y.zarr")):
        joined = text.replace("\n    ", " ").replace(" ", "")
        assert f"Yondiskat{tmp_path}/Y.zarr,6.00KiB;next:" in joined
        assert ".save" not in joined


def test_result__shows_selection_and_sparse_Y(X):
    values = scipy.sparse.random_array((12, 3000), density=0.2, rng=np.random.default_rng(0))
    result = ss.sparsify(values.tocsc(), "select", m=60, algorithm="balance")
    for text in shown(result):
        assert "columns chosen by balancing" in text
        assert "Y in memory, sparse" in text


def test_result__shows_pairs_as_pairs(X):
    for text in shown(ss.sparsify_pair(X[:5], X[5:], "sketch", m=64)):
        assert "5 queries and their keys" in text


def test_cards__make_text_of_names_that_are_markup(result):
    plan = replace(result.plan, source=EVIL)
    for one in (plan, replace(result, plan=plan)):
        html = one._repr_html_()
        assert "<script" not in html
        assert EVIL in Parsed(html).text

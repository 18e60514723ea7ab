"""Any change of a metadata document leaves a source that opens, or one documented error."""

import copy
import json

import numpy as np
import pytest
import stores
from hypothesis import given, settings
from hypothesis import strategies as st

import streamsparse as ss

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["float64", "|O", "pickle", "blosc", "bytes", "regular", "<f4", 2**63, -1]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "configuration", "chunk_shape", "codecs", "endian"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """By name: the path of a store, of a document in it, and what the document says."""
    root, found = tmp_path_factory.mktemp("documents"), {}
    for name, options in stores.DENSE.items():
        stores.write_dense(root / name, stores.dense_matrix(), **options)
        document = root / name / ("zarr.json" if options["zarr_format"] == 3 else ".zarray")
        found[name] = root / name, document, json.loads(document.read_text())
    stores.write_sparse(root / "csc", stores.sparse_matrix("csc"))
    for name in ("zarr.json", "indptr/zarr.json", "data/zarr.json"):
        document = root / "csc" / name
        found[f"csc {name}"] = root / "csc", document, json.loads(document.read_text())
    return found


def places(value, path=()):
    """Every place in a document that can be changed."""
    yield path
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def changed(document, path, value):
    """The document with something else in one place, or without that place."""
    if not path:
        return value
    new = copy.deepcopy(document)
    holder = new
    for key in path[:-1]:
        holder = holder[key]
    if value == "":
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return new


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150)
@given(data=st.data())
def test_metadata__any_change_opens_or_is_one_documented_error(documents, data):
    store, path, document = documents[data.draw(st.sampled_from(sorted(documents)))]
    whole = path.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(places(document))))
        document = changed(document, place, data.draw(VALUES))
    path.write_text(json.dumps(document))
    try:
        source = ss.open_source(store)
        source.verify()
        ss.plan(source, "exact", memory="300 MiB")
        assert np.prod(source.shape) > 0
    except ss.StreamSparseError as error:
        said = str(error)
    else:
        said = ""
    finally:
        path.write_bytes(whole)
    assert "\n" not in said

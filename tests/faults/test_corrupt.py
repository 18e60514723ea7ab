import corrupt
import pytest


def test_trial__in_a_process_of_its_own():
    tally = corrupt.trial("none + crc32c", "length", small=True)
    assert tally.is_kept
    assert tally.injected > 20


@pytest.mark.parametrize("kind", corrupt.FAULTS)
@pytest.mark.parametrize("name", ["gzip", "lz4", "sharded zstd", "delta + zlib, v2"])
def test_batch__checksums_see_every_byte_and_lengths_are_always_seen(name, kind, tmp_path):
    record = tmp_path / "record"
    record.write_bytes(corrupt._RECORD.pack(0, 0, 0, 0))
    corrupt.batch(name, kind, record, small=True, is_alone=False)
    ended, detected, unchanged, silent = corrupt._RECORD.unpack(record.read_bytes())
    assert ended == -1
    assert detected + unchanged + silent > 30
    assert not silent or (kind == "bytes" and not corrupt.codecs()[name][1])

import json

from certificates import certificate
from streamsparse.dense.certificate import Certificate, Errors, Measure


def test_certificate__json_has_the_documented_keys_in_order_and_null_for_the_unmeasured():
    fields = certificate().to_dict()
    assert list(fields) == [
        "n",
        "d",
        "m",
        "method",
        "seed",
        "beta",
        "preprocess",
        "r",
        "trace",
        "spectral_error",
        "barrier_spectral_error",
        "regularised_error",
        "entry_error",
        "attention_error",
        "uniform_attention_error",
        "rms_entry_error",
        "most_rows_entry_error",
        "most_rows_attention_error",
        "all_rows_entry_error",
        "all_rows_attention_error",
        "bootstrap_entry_error",
        "checked_rows",
        "target",
        "epsilon",
        "met",
        "queries",
        "passes",
        "bytes_read",
        "peak_memory_bytes",
        "seconds",
        "integrity",
    ]
    assert fields["spectral_error"] is None
    assert fields["entry_error"] == {"value": 0.11, "kind": "exact"}
    assert fields["attention_error"] == {"value": 0.004, "kind": "bound", "confidence": 0.99}
    assert fields["most_rows_entry_error"] == {
        "value": 0.1,
        "kind": "bound",
        "confidence": 0.99,
        "share": 0.95,
    }
    assert Certificate.from_dict(json.loads(json.dumps(fields))) == certificate()


def test_certificate__prints_within_80_columns_and_says_what_was_not_measured():
    text = str(certificate())
    assert max(map(len, text.splitlines())) <= 80
    assert "not measured" in text
    assert "bound, 95.0% of rows, conf. 0.99" in text
    assert "90 of 1,786 rows were compared" in text
    assert "entries error 0.1: met by 95.0% of rows" in text
    assert "no better than Y = 0" not in text


def test_certificate__says_so_where_Y_zero_is_as_good():
    worse = Errors(
        entry=Measure(0.11, "exact"),
        attention=Measure(0.06, "exact"),
        uniform=Measure(0.05, "exact"),
        checked_rows=1786,
    )
    text = str(certificate(errors=worse, met=False))
    assert "no better than Y = 0" in text
    assert "NOT MET" in text
    assert max(map(len, text.splitlines())) <= 80

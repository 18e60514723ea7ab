"""What is written is run: README's examples, the modules that DESIGN.md names."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DESIGN = (ROOT / "streamsparse" / "DESIGN.md").read_text(encoding="utf-8")


def test_readme__examples_run():
    failures, count = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert count > 0
    assert failures == 0


def test_examples_of_lazy_arrays__run():
    import streamsparse.dask

    failures, count = doctest.testmod(streamsparse.dask)
    assert count > 0
    assert failures == 0


def rows_of_the_layer_table():
    return re.findall(r"^\| (`[^|]+) \| (\d+) \| ([^|]+) \|$", DESIGN, flags=re.MULTILINE)


@pytest.mark.parametrize("row", rows_of_the_layer_table(), ids=lambda row: row[0])
def test_design__names_only_modules_that_exist_and_all_of_a_folder(row):
    units, _, text = row
    for unit in re.findall(r"`([^`]+)`", units):
        path = ROOT / "streamsparse" / unit
        assert path.exists(), unit
        if path.is_dir():
            named = set(re.findall(r"`(\w+)`", text))
            there = {module.stem for module in path.glob("*.py")} - {"__init__"}
            assert named <= there | {"Result"}
            if named:
                assert there <= named, f"{unit} lacks {there - named}"


def test_design__agrees_with_the_layering_test():
    from test_layering import LAYERS

    for units, number, _ in rows_of_the_layer_table():
        for unit in re.findall(r"`([^`]+)`", units):
            assert LAYERS[unit.strip("/").removesuffix(".py")] == int(number), unit


def test_documents__name_no_missing_file():
    for text in (DESIGN, (ROOT / "README.md").read_text(encoding="utf-8")):
        for name in re.findall(
            r"`((?:streamsparse|scripts|tests|running|sources|methods)/[\w/]+\.py)`", text
        ):
            inside = ROOT / "streamsparse" / name
            assert (ROOT / name).exists() or inside.exists(), name

"""Pages on disk: they replace earlier pages of ours where asked to, and nothing else."""

import numpy as np
import pytest

import streamsparse as ss
from streamsparse.errors import OutputExistsError, StoreError
from streamsparse.html import page
from streamsparse.storing.page import check_page_output, write_page


def test_write_page__is_utf8_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a.html"
    write_page(path, page("größe ᵀ"), overwrite=False)
    assert path.read_text(encoding="utf-8") == page("größe ᵀ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.html"]


def test_write_page__replaces_only_where_asked(tmp_path):
    path = tmp_path / "a.html"
    write_page(path, page("old"), overwrite=False)
    with pytest.raises(OutputExistsError, match="already exists"):
        check_page_output(path, overwrite=False)
    with pytest.raises(OutputExistsError, match="already exists"):
        write_page(path, page("new"), overwrite=False)
    assert path.read_text(encoding="utf-8") == page("old")
    check_page_output(path, overwrite=True)
    write_page(path, page("new"), overwrite=True)
    assert path.read_text(encoding="utf-8") == page("new")


@pytest.mark.parametrize("kind", ["text", "other page", "empty", "folder", "link"])
def test_check_page_output__never_replaces_what_is_no_page_of_ours(kind, tmp_path):
    path = tmp_path / "a.html"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        write_page(tmp_path / "b.html", page("b"), overwrite=False)
        path.symlink_to(tmp_path / "b.html")
    else:
        other = "<!DOCTYPE html>\n<html lang='en'></html>"
        path.write_text({"text": "thesis", "other page": other, "empty": ""}[kind])
    with pytest.raises(OutputExistsError, match="no report of streamsparse"):
        check_page_output(path, overwrite=True)


def test_check_page_output__refuses_a_place_inside_a_result(tmp_path):
    result = ss.sparsify(np.eye(4, 900), "exact")
    result.save(tmp_path / "Y.zarr")
    for path in (tmp_path / "Y.zarr" / "a.html", tmp_path / "Y.zarr" / "Y" / "a.html"):
        with pytest.raises(OutputExistsError, match="inside the result"):
            result.report(path)
    with pytest.raises(OutputExistsError, match="no report"):
        result.report(tmp_path / "Y.zarr", overwrite=True)
    np.testing.assert_array_equal(ss.load(tmp_path / "Y.zarr").Y[:], result.Y)


def test_check_page_output__needs_a_folder_to_write_to(tmp_path):
    with pytest.raises(StoreError, match="not a directory"):
        check_page_output(tmp_path / "nowhere" / "a.html", overwrite=False)

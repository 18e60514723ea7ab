"""The reference: rendered as a reader does, every public name has its section and reads well."""

import html
import inspect
import re
import runpy

import pytest

import streamsparse as ss
from script_tools import ROOT, run_script

pytestmark = pytest.mark.slow
pytest.importorskip("pdoc")
pytest.importorskip("sklearn")

REFERENCE = runpy.run_path(str(ROOT / "scripts" / "reference.py"))

DOCSTRING = """What it does.

    Parameters
    ----------
    m : "a": a colon; "b"
        is another.
    X, delta,
    epsilon :
        as for `sparsify`.

    Returns
    -------
    A value: text, not an item
    over two lines.

    Notes
    -----
    m : is no item here.
    """


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        # Annotations of pictures name matplotlib, which wants a place for its cache.
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("matplotlib")))
        done = run_script(ROOT / "scripts" / "reference.py", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


def sections(page):
    """Return the text of every section by its name; those of classes hold those of members."""
    text = re.sub(r'<div class="pdoc-code.*?</pre></div>', "", page.read_text(), flags=re.DOTALL)
    parts = re.split(r'<(?:section|div) id="([\w.]+)"', text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def shown(part):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", part)).split())


def test_reference__has_a_documented_section_for_every_public_name(pages):
    found = sections(pages / "streamsparse.html")
    for name in ss.__all__:
        assert name in found
        if name != "__version__":
            first = inspect.getdoc(getattr(ss, name)).split("\n")[0]
            assert " ".join(first.replace("`", "").split()[:4]) in shown(found[name]), name


def test_reference__names_every_parameter_of_every_function(pages):
    found = sections(pages / "streamsparse.html")
    for name in filter(lambda name: inspect.isfunction(getattr(ss, name)), ss.__all__):
        listed = re.findall(r"<strong>([^<]+)</strong>", found[name])
        named = {one.strip() for names in listed for one in names.split(",")}
        assert set(inspect.signature(getattr(ss, name)).parameters) <= named, name


@pytest.mark.parametrize("name", ["Result", "Certificate", "Measure", "Plan", "Part", "CurvePoint"])
def test_reference__says_what_every_attribute_is(pages, name):
    found = sections(pages / "streamsparse.html")
    fields = getattr(ss, name).__dataclass_fields__
    for field in fields:
        assert 'class="docstring"' in found[f"{name}.{field}"], field


def test_reference__has_the_lazy_arrays_and_the_estimators(pages):
    assert {"sketch", "gram"} <= set(sections(pages / "streamsparse" / "dask.html"))
    import streamsparse.sklearn

    assert set(streamsparse.sklearn.__all__) <= set(
        sections(pages / "streamsparse" / "sklearn.html")
    )
    for name in ("dask", "plot", "sklearn"):
        assert f'href="streamsparse/{name}.html"' in (pages / "streamsparse.html").read_text()


def test_markdown_of__turns_items_into_lists_and_leaves_the_rest():
    assert REFERENCE["markdown_of"](DOCSTRING).split("\n\n") == [
        "What it does.",
        "###### Parameters",
        '- **m**: "a": a colon; "b"\n  is another.',
        "- **X, delta, epsilon**: as for `sparsify`.",
        "###### Returns",
        "A value: text, not an item\nover two lines.",
        "###### Notes",
        "m : is no item here.",
    ]


def test_items_of__keeps_every_word():
    text = "a, b : one\n    two\nc : three\n\nfour : five"
    assert list(REFERENCE["items_of"](text)) == [
        ("a, b", "one\ntwo"),
        ("c", "three"),
        ("four", "five"),
    ]

"""Elements: whatever text is put in comes out as text, and everything that opens closes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from html_tools import Parsed
from streamsparse.html import PAGE_START, Markup, card, details, element, listing, page, table

ANYTHING = st.text(st.characters(codec=None))
EVIL = "<script>alert(1)</script>\"'&amp;</td></style><img src=x onerror=alert(1)>"


@given(ANYTHING, ANYTHING)
@example(EVIL, EVIL)
def test_element__gives_back_any_printable_text_and_attribute(text, value):
    shown = "".join(c for c in text if c.isprintable())
    quoted = "".join(c for c in value if c.isprintable())
    parsed = Parsed(element("p", shown, title=quoted))
    assert "".join(parsed.texts) == shown
    assert parsed.tags == [("p", {"title": quoted})]


@given(ANYTHING)
def test_page__holds_any_text_as_text_and_can_be_encoded(text):
    cells = [[text, text, element("b", text)]]
    whole = page(text, table(text, (text, "", ""), cells), listing([text]), details(text))
    parsed = Parsed(whole)
    assert parsed.count("b") == 1
    assert parsed.count("th") == 4
    assert Parsed(whole.encode().decode()).tags == parsed.tags


@pytest.mark.parametrize("make", [page, card])
def test_page_and_card__make_nothing_of_markup_in_text(make):
    parsed = Parsed(make(EVIL, table(EVIL, [EVIL], [[EVIL]]), listing([EVIL])))
    assert "".join(parsed.texts).count(EVIL) == (5 if make is card else 6)


def test_element__shows_control_characters_and_lone_bytes_as_escapes():
    assert element("p", "a\x1b[31m\x00\udcff") == r"<p>a\x1b[31m\x00\udcff</p>"
    assert element("pre", "a\nb") == "<pre>a\nb</pre>"


def test_element__spells_attributes_and_keeps_what_is_markup():
    inner = element("b", "x")
    assert element("p", inner, class_="a", stroke_width=2) == (
        '<p class="a" stroke-width="2"><b>x</b></p>'
    )
    assert isinstance(inner, Markup)


def test_table__says_what_its_headers_are_about():
    parsed = Parsed(table("caption", ["a", "b"], [["row", "1"], ["other", "2"]]))
    scopes = [attributes["scope"] for tag, attributes in parsed.tags if tag == "th"]
    assert scopes == ["col", "col", "row", "row"]
    assert Parsed(table("caption", [], [["row", "1"]])).count("thead") == 0


def test_listing__is_nothing_where_there_is_nothing_to_say():
    assert listing([]) == ""
    assert Parsed(listing(["a", "b"])).count("li") == 2


def test_page__begins_as_every_page_of_ours_and_a_card_does_not():
    whole = page("t")
    assert whole.startswith(PAGE_START)
    parsed = Parsed(whole)
    assert [parsed.count(tag) for tag in ("html", "head", "title", "body", "h1")] == [1] * 5
    assert not card("t").startswith(PAGE_START)


def test_style__fixes_no_background_and_no_colour_of_text():
    style = card("t").partition("<style>")[2].partition("</style>")[0]
    declared = [line.partition(":") for line in style.replace("{", ";").split(";")]
    backgrounds = {v.strip() for k, _, v in declared if k.strip().startswith("background")}
    assert backgrounds == {"transparent"}
    assert "color" not in {k.strip() for k, _, _ in declared}

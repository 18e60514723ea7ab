"""Text that fits a terminal, whatever is in it."""

from hypothesis import example, given
from hypothesis import strategies as st

from streamsparse.units import fold, printable

ANYTHING = st.text(st.characters(codec=None))


@given(ANYTHING, st.integers(0, 12))
@example("source   " + "x" * 500, 9)
@example("a\udcff\x1b[31m\u2028" * 40, 4)
def test_fold__stays_within_80_characters_and_prints(text, indent):
    folded = fold(text, indent=indent)
    assert all(len(line) <= 80 for line in folded.split("\n"))
    assert folded.replace("\n", "").isprintable()
    folded.encode()


@given(st.lists(st.text(st.sampled_from("abc:/.-_")), max_size=60), st.integers(0, 12))
def test_fold__loses_no_letter(words, indent):
    line = " ".join(words)
    assert "".join(fold(line, indent=indent).split()) == "".join(line.split())


def test_fold__breaks_at_spaces_and_indents_what_continues():
    assert fold("one", indent=4) == "one"
    assert fold("  " + "word " * 20, indent=4) == "\n".join(
        ["  " + " ".join(["word"] * 15), "    " + " ".join(["word"] * 5)]
    )
    assert fold("x" * 100, indent=4) == "x" * 80 + "\n    " + "x" * 20


def test_printable__keeps_letters_of_all_languages_and_escapes_the_rest():
    assert printable("größe 大 ᵀ\n") == "größe 大 ᵀ\n"
    assert printable("\r\t\x1b\xa0\u202e\udc80") == r"\r\t\x1b\xa0\u202e\udc80"

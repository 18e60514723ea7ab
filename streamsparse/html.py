"""HTML without scripts and without anything from elsewhere: text is escaped, elements are closed.

Whatever is put into an element is text, and escaped, unless an element made it. Colours are those
of the page around it, so that light and dark themes stay readable.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from streamsparse.units import printable

_STYLE = """
.streamsparse { font-family: system-ui, sans-serif; line-height: 1.45; max-width: 60rem; }
.streamsparse p { margin: 0.4em 0; }
.streamsparse table { border-collapse: collapse; margin: 0.8em 0; font-size: inherit; }
.streamsparse caption { text-align: left; font-weight: bold; padding-bottom: 0.2em; }
.streamsparse th, .streamsparse td { text-align: left; vertical-align: top;
  background-color: transparent;
  padding: 0.15em 1em 0.15em 0; border-bottom: 1px solid rgba(128, 128, 128, 0.35);
  overflow-wrap: anywhere; }
.streamsparse tbody th { font-weight: normal; }
.streamsparse .title { font-weight: bold; }
.streamsparse .verdict { border-left: 0.3em solid #808080; padding-left: 0.6em; }
.streamsparse .met { border-color: #2a9d5c; }
.streamsparse .missed { border-color: #d1495b; }
.streamsparse pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.streamsparse svg { max-width: 100%; height: auto; }
"""
# Of a page alone: the reader's own choice of light or dark.
_PAGE_STYLE = """
:root { color-scheme: light dark; }
body { margin: 2rem auto; padding: 0 1rem; max-width: 60rem; }
"""
# What a page of ours begins with, and nobody else's does.
PAGE_START = (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="generator" content="streamsparse">'
)


class Markup(str):
    """HTML that is ready; any other text is escaped where it is put into an element."""

    __slots__ = ()


def element(tag: str, /, *content: object, **attributes: object) -> Markup:
    """Return an element with text and other elements in it.

    Names of attributes: ``class_`` is class, ``stroke_width`` is stroke-width.
    """
    start = tag + "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{start}>{''.join(map(_escaped, content))}</{tag}>")


def _escaped(content: object) -> str:
    return content if isinstance(content, Markup) else html.escape(printable(str(content)))


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """Return a table whose rows begin with what they are about; ``head`` may be empty."""
    parts = [element("caption", caption)]
    if head:
        names = (element("th", name, scope="col") for name in head)
        parts.append(element("thead", element("tr", *names)))
    lines = (
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    )
    return element("table", *parts, element("tbody", *lines))


def listing(lines: Iterable[str]) -> Markup:
    """Return a list of sentences, empty markup where there are none."""
    items = [element("li", line) for line in lines]
    return element("ul", *items) if items else Markup("")


def details(summary: str, *content: Markup) -> Markup:
    """Return what is shown when somebody asks for it."""
    return element("details", element("summary", summary), *content)


def card(title: str, *content: Markup) -> str:
    """Return a card for a notebook, its style within it."""
    style = element("style", Markup(_STYLE))
    heading = element("p", title, class_="title")
    return str(element("div", style, heading, *content, class_="streamsparse"))


def page(title: str, *content: Markup) -> str:
    """Return a whole page that needs nothing else."""
    style = element("style", Markup(_PAGE_STYLE + _STYLE))
    body = element("main", element("h1", title), *content, class_="streamsparse")
    return f"{PAGE_START}{element('title', title)}{style}</head>\n{element('body', body)}</html>\n"

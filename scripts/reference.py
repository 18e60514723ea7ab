"""Render the reference of every public name as HTML: ``python scripts/reference.py FOLDER``.

Takes ``pip install '.[docs]'``. Docstrings here have no types in prose, so an item is
``name : what it means``; pdoc takes what follows a colon for a type. Hence they are turned into
Markdown first, and what a class says of its attributes goes to the attributes.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pdoc
import pdoc.doc
import pdoc.render

import streamsparse

MODULES = ("streamsparse", "streamsparse.dask", "streamsparse.plot", "streamsparse.sklearn")
_SECTION = re.compile(r"^([A-Z][A-Za-z ]+)\n---+\n", re.MULTILINE)
_LISTS = ("Parameters", "Attributes", "Returns", "Yields", "Raises")
# Names, then what they mean.
_ITEM = re.compile(r"([`*\w][`*.,\s\w]*?) :(?:\s+(.*))?", re.DOTALL)


def sections_of(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield (heading, text); the heading of what comes first is empty."""
    first, *rest = _SECTION.split(inspect.cleandoc(docstring))
    yield "", first.strip()
    for heading, text in zip(rest[::2], rest[1::2], strict=True):
        yield heading, text.strip()


def items_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield (names, what they mean) of a section; names are empty for a plain paragraph."""
    for paragraph in text.split("\n\n"):
        # An item begins at the margin, unless the names before it go on.
        parts = re.split(r"(?<!,)\n(?=[`*\w][`*.,\s\w]*? :\s)", paragraph)
        for part in parts:
            found = _ITEM.fullmatch(part)
            names, meaning = ("", part) if found is None else found.groups()
            yield " ".join(names.split()), inspect.cleandoc(meaning)


def markdown_of(docstring: str, *, without: frozenset[str] = frozenset()) -> str:
    """Return a docstring as Markdown; ``without`` the items of these names."""
    written = []
    for heading, text in sections_of(docstring):
        lines = [text]
        if heading in _LISTS:
            items = [item for item in items_of(text) if not without.issuperset(split(item[0]))]
            lines = [f"- **{names}**: {indented(what)}" if names else what for names, what in items]
        # Attributes that have gone to their places leave no heading behind.
        if heading and not (heading == "Attributes" and without):
            written.append(f"###### {heading}")
        written += lines
    return "\n\n".join(written)


def indented(text: str) -> str:
    """Return text whose lines after the first belong to an item of a list."""
    return text.replace("\n", "\n  ")


def split(names: str) -> list[str]:
    """Return the single names of an item; an unnamed paragraph is one that nobody has."""
    return [name.strip("` ") for name in names.split(",")]


def rewrite(member: pdoc.doc.Doc) -> None:
    """Turn the docstrings of a module or class, and of all that is in it, into Markdown."""
    if isinstance(member, pdoc.doc.Class):
        move_attributes(member)
    else:
        member.docstring = markdown_of(member.docstring)
    if isinstance(member, pdoc.doc.Namespace):
        for inner in member.own_members:
            rewrite(inner)


def move_attributes(described: pdoc.doc.Class) -> None:
    """Give every attribute of a class what the class says of it."""
    told: set[str] = set()
    for heading, text in sections_of(described.docstring):
        for names, meaning in items_of(text) if heading == "Attributes" else ():
            for name in split(names):
                member = described.get(name)
                if member is not None and not member.docstring:
                    member.docstring = meaning
                    told.add(name)
    described.docstring = markdown_of(described.docstring, without=frozenset(told))


def render(folder: Path) -> None:
    """Write a page of each module, an index and what the search box looks in."""
    pdoc.render.configure(docformat="restructuredtext", search=True)
    # Names that come when they are asked for are not there before.
    for name in streamsparse.__all__:
        getattr(streamsparse, name)
    modules = {name: pdoc.doc.Module.from_name(name) for name in MODULES}
    first, *others = modules
    for name, module in modules.items():
        rewrite(module)
        if name == first:
            module.docstring += f"\n\nBesides: {', '.join(f'`{other}`' for other in others)}."
        page = folder / f"{name.replace('.', '/')}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(pdoc.render.html_module(module, modules), encoding="utf-8")
    (folder / "index.html").write_text(pdoc.render.html_index(modules), encoding="utf-8")
    (folder / "search.js").write_text(pdoc.render.search_index(modules), encoding="utf-8")


def main() -> None:
    """Read the folder from the command line and fill it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    render(folder)
    print(f"wrote {folder / 'index.html'}")


if __name__ == "__main__":
    main()

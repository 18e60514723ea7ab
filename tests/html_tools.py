"""Read HTML as a browser would take it, and refuse what it would have to mend."""

from html.parser import HTMLParser

VOID = {"meta"}
FORBIDDEN = {"script", "iframe", "object", "embed", "link", "img", "base", "form"}
REFERENCES = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}


class Parsed(HTMLParser):
    """The elements of a page: every tag closed in order, nothing that runs or loads anything."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(html)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag, attrs):
        assert tag not in FORBIDDEN, tag
        for name, value in attrs:
            assert name not in REFERENCES, (name, value)
            assert not name.startswith("on"), (name, value)
            assert "url(" not in (value or ""), (name, value)
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} occurs twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
        else:
            self.texts.append(data)

    @property
    def text(self):
        return "\n".join(self.texts)

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)

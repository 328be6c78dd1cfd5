"""Elements, text and tables of an HTML page, read by the parser of the standard library."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_EMPTY = {"meta", "wbr", "br", "img", "link", "input", "hr", "path", "use", "rect", "circle"}


@dataclass
class Page:
    source: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)  # caption -> rows of cells
    unclosed: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for element, attributes in self.elements if element == name]


class _Reader(HTMLParser):
    def __init__(self, page: Page):
        super().__init__(convert_charrefs=True)
        self.page, self.open, self.rows, self.cell, self.caption = page, [], [], None, None

    def handle_starttag(self, tag, attrs):
        self.page.elements.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_startendtag(self, tag, attrs):
        self.page.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in _EMPTY and (not self.open or self.open.pop() != tag):
            self.page.unclosed.append(tag)
        if tag in ("td", "th"):
            self.rows[-1].append(" ".join(self.cell.split()))
            self.cell = None
        elif tag == "table":
            self.page.tables[self.caption.strip()] = self.rows

    def handle_data(self, data):
        if not {"style", "svg", "script"} & {*self.open}:
            self.page.words.append(data)
        if self.cell is not None:
            self.cell += data
        elif "caption" in self.open:
            self.caption += data


def read(source: str) -> Page:
    page = Page(source)
    reader = _Reader(page)
    reader.feed(source)
    reader.close()
    page.unclosed += reader.open
    return page

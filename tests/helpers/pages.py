"""A report's page as a tree, its downloads, and the checks that every page has to pass."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote

VOID = {"meta", "br", "hr", "img", "input", "link"}


@dataclass
class Node:
    tag: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """Its own text, in pieces."""

    def all(self, *tags: str) -> list[Node]:
        """Every node below with one of these tags, in the order of the page."""
        found = []
        for child in self.children:
            found += [child] if not tags or child.tag in tags else []
            found += child.all(*tags)
        return found

    @property
    def text(self) -> str:
        return " ".join(" ".join([*self.words, *(child.text for child in self.children)]).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].words.append(data)


def section(root: Node, name: str) -> Node:
    (node,) = [node for node in root.all("section") if node.attributes["id"] == name]
    return node


def downloads(root: Node) -> dict[str, list[dict[str, str]]]:
    """The rows of every CSV that the page offers, by file name."""
    links = [node for node in root.all("a") if "download" in node.attributes]
    names = Counter(link.attributes["download"] for link in links)
    assert [name for name, count in names.items() if count > 1] == []
    start = "data:text/csv;charset=utf-8,"
    assert all(link.attributes["href"].startswith(start) for link in links)
    texts = {link.attributes["download"]: unquote(link.attributes["href"][len(start) :]) for link in links}
    return {name: list(csv.DictReader(io.StringIO(text, newline=""))) for name, text in texts.items()}


def tree_of(page: str) -> Node:
    """The page, of which everything that is opened is closed."""
    reader = _Reader()
    reader.feed(page)
    assert [node.tag for node in reader.open] == [""]
    return reader.root


def checked(page: str) -> Node:
    """Parse a page and hold it to what every report promises."""
    root = tree_of(page)
    ids = Counter(node.attributes["id"] for node in root.all() if "id" in node.attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    for node in root.all():
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(node.attributes.get(name, "").split()) <= set(ids)
        if node.attributes.get("href", "").startswith("#"):
            assert node.attributes["href"][1:] in ids

    # nothing is asked of a network, nothing runs
    assert root.all("script", "link", "iframe", "img", "object", "embed", "form") == []
    assert [name for node in root.all() for name in node.attributes if name.startswith("on")] == []
    (policy,) = [node for node in root.all("meta") if "Content-Security-Policy" in node.attributes.get("http-equiv", "")]
    assert policy.attributes["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    css = "".join(node.text for node in root.all("style"))
    assert not re.search(r"url\(|@import", css)
    hrefs = [node.attributes["href"] for node in root.all("a")]
    assert all(href.startswith(("#", "data:text/csv")) for href in hrefs)

    # headings in order, landmarks, a way past the header
    levels = [int(node.tag[1]) for node in root.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert {"header", "main", "nav", "footer"} <= {node.tag for node in root.all()}
    assert root.all("a")[0].attributes["href"] == "#content"
    assert root.all("html")[0].attributes["lang"] == "en"

    # every figure has its title, its words and its numbers
    for figure in root.all("figure"):
        assert figure.all("figcaption")[0].text
        (picture,) = figure.all("svg")
        assert [part.text != "" for part in picture.all("title", "desc")[:2]] == [True, True]
        assert figure.all("details")[0].all("table")
        assert [link for link in figure.all("a") if "download" in link.attributes]

    # every number to see first stands in a table too
    cells = [cell.text for cell in root.all("td", "th")]
    values = [node.text for node in root.all("dd") if node.attributes.get("class") == "value"]
    numbers = [value.removesuffix(" %").removesuffix(" GB") for value in values if " of " not in value]
    assert [number for number in numbers if not any(number in cell for cell in cells)] == []

    # every table can be read aloud, and reached and scrolled by keyboard
    for table in root.all("table"):
        assert table.all("caption")[0].text
        assert {cell.attributes.get("scope") for cell in table.all("th")} <= {"col", "row"}
    boxes = [node for node in root.all("div") if node.attributes.get("class") == "scroll"]
    assert all(box.attributes["tabindex"] == "0" and box.attributes["aria-label"] for box in boxes)
    assert len(boxes) == len(root.all("table"))
    downloads(root)
    return root

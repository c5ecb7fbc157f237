"""Pages of `qrnn report`, made of tiny runs, and read as a program reads them."""

import itertools
import json
import re
import sys
from base64 import b64decode
from html.parser import HTMLParser
from xml.etree import ElementTree

from qrnn.cli import main

VOID = ("meta", "link", "br", "img")
CELLS = ("td", "th", "dt", "dd", "li", "p", "code", "h1", "h2", "caption", "figcaption")


def call(monkeypatch, *arguments):
    """Run a command in this process."""
    monkeypatch.setattr(sys, "argv", ["qrnn", *arguments])
    main()


def train_digits(monkeypatch, folder, *arguments):
    """Train a model of the digits with two qubits, in no time."""
    call(
        monkeypatch,
        "train",
        "model.n_qubits=2",
        "model.width=4",
        "trainer.epochs=2",
        "trainer.steps_per_epoch=4",
        "trainer.progress=false",
        f"hydra.run.dir={folder}",
        *arguments,
    )


class Reader(HTMLParser):
    """What is on a page: its elements, with their attributes, and its texts by element.

    Attributes:
        tags: all (name, attributes) pairs, in order.
        texts: the texts of the innermost element of `CELLS`, as (name, text) pairs.
        tables: lists of rows, lists of cells, the heading's row included.
        problems: tags that were not closed, or closed twice.
    """

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.tables, self.problems = [], [], [], []
        self.open = []
        self.feed(html)
        self.close()
        self.problems += self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in CELLS:
            self.texts.append((tag, ""))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"/{tag}")

    def handle_data(self, data):
        if self.texts and self.open and self.open[-1] in CELLS:
            name, text = self.texts[-1]
            self.texts[-1] = (name, text + data)
        if self.tables and {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def named(self, tag):
        """Return the texts of an element."""
        return [text for name, text in self.texts if name == tag]

    @property
    def facts(self):
        """Each name with its value."""
        pairs = [one for one in self.texts if one[0] in ("dt", "dd")]
        return {
            name: value
            for (first, name), (second, value) in itertools.pairwise(pairs)
            if (first, second) == ("dt", "dd")
        }

    def table(self, *headings):
        """Return the rows of the table with such headings, as dicts."""
        for heading, *rows in self.tables:
            if set(headings) <= set(heading):
                return [dict(zip(heading, row, strict=True)) for row in rows]
        raise AssertionError(f"no table of {headings}, only {[t[0] for t in self.tables]}")

    @property
    def loads(self):
        """Every address that a browser would ask for, or a reader follow."""
        named = [
            value
            for _, attributes in self.tags
            for name, value in attributes.items()
            if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href") and value
        ]
        styles = [value for _, attributes in self.tags if (value := attributes.get("style"))]
        return named + [url for style in styles for url in re.findall(r"url\(([^)]*)\)", style)]


def read(path):
    return Reader(path.read_text(encoding="utf-8"))


def kept(path):
    return json.loads(path.read_text(encoding="utf-8"))


def assert_closed(page):
    """No script, and nothing that is asked for outside of the page."""
    assert not {tag for tag, _ in page.tags} & {
        "script",
        "iframe",
        "object",
        "embed",
        "base",
    }
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    for address in page.loads:
        assert address.startswith("data:"), address


def drawings(page):
    """Return the images of a page, parsed, none of which asks for anything."""
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    roots = [ElementTree.fromstring(b64decode(one.partition(";base64,")[2])) for one in sources]
    for element in itertools.chain(*(root.iter() for root in roots)):
        assert element.tag.rpartition("}")[2] not in ("script", "foreignObject")
        for name, value in element.attrib.items():
            assert not name.endswith("href") or value.startswith(("#", "data:")), value
    return roots

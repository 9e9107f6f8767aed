"""Web pages: what a reader of the page sees."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser

from edgeagent.agent.tools.documents.blocks import Block
from edgeagent.agent.tools.documents.readers.text import decode
from edgeagent.agent.tools.plain import printable

_HEADINGS = frozenset({"title", "h1", "h2", "h3", "h4", "h5", "h6"})
_UNSEEN = frozenset(
    {"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "canvas"}
    | {"select", "textarea", "audio", "video", "map", "dialog"}
)
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}
    | {"track", "wbr"}
)
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i"}
    | {"img", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span", "strong", "sub"}
    | {"sup", "time", "tt", "u", "var", "wbr", "td", "th", "button", "input"}
)
"""Everything else begins a paragraph, as browsers do it."""

_SEPARATORS = {"td": " | ", "th": " | ", "br": " "}
_END_IS_OPTIONAL = frozenset(
    {"p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "rt", "rp"}
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
_DECLARED_WITHIN = 2048
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_html(data: bytes) -> Iterator[Block]:
    """Yield the headings and paragraphs that are shown; the page's title is the first heading.

    Scripts, forms and whatever is marked as hidden are left out: text that a person cannot see in
    a page shall not speak to a model either.
    """
    page = _Page()
    # Browsers take `<![if ...]>` of word processors for a comment, the parser may raise for it.
    page.feed(_decode(data).replace("<![", "<! ["))
    page.close()
    page.end_block()
    yield from page.blocks


def _decode(data: bytes) -> str:
    """Return the page as text, in the encoding that its mark or its head declares, or UTF-8."""
    declared = _CHARSET.search(data[:_DECLARED_WITHIN])
    if declared and not data.startswith(_MARKS):
        try:
            return data.decode(declared[1].decode("ascii", "replace"), errors="replace")
        except (LookupError, UnicodeError):  # no such encoding, or none of texts
            pass
    return decode(data)


class _Page(HTMLParser):
    """Collects blocks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._text: list[str] = []
        self._heading: str | None = None
        self._open: Counter[str] = Counter()
        """Open elements of what is shown."""
        self._unseen: str | None = None
        """Element whose content is being left out."""
        self._inside: Counter[str] = Counter()
        """Open elements inside of it."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._unseen is not None:
            next_of_its_kind = tag == self._unseen and tag in _END_IS_OPTIONAL
            if not next_of_its_kind or self._inside.total():
                if tag not in _VOID:
                    self._inside[tag] += 1
                return
            self._unseen = None
        if tag in _SEPARATORS:
            self._text.append(_SEPARATORS[tag])
        elif tag not in _INLINE:
            self.end_block()
        if tag in _VOID:
            return
        if tag in _UNSEEN or _is_hidden(attrs):
            self._unseen = tag
            self._inside.clear()
            return
        self._open[tag] += 1
        if tag in _HEADINGS:
            self._heading = tag

    def handle_endtag(self, tag: str) -> None:
        if self._unseen is not None:
            if self._inside[tag] > 0:
                self._inside[tag] -= 1
                return
            if tag == self._unseen:
                self._unseen = None
                return
            if not self._open[tag]:
                return
            self._unseen = None  # something around it ends, and so it does
        if self._open[tag] > 0:
            self._open[tag] -= 1
        if tag not in _INLINE:
            self.end_block()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # HTML knows no elements that close themselves: `<div/>` opens one.
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self._unseen is None:
            self._text.append(data)

    def end_block(self) -> None:
        """End the paragraph or heading."""
        text = " ".join(printable("".join(self._text)).split()).strip("| ")
        if text:
            self.blocks.append(Block(text, is_heading=self._heading is not None))
        self._text.clear()
        self._heading = None


def _is_hidden(attrs: list[tuple[str, str | None]]) -> bool:
    return any(
        name == "hidden"
        or (name == "aria-hidden" and value == "true")
        or (name == "style" and _HIDDEN_STYLE.search(value or ""))
        for name, value in attrs
    )

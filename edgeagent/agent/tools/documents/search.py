"""The document search tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeagent.agent.tools.documents.index import DocumentIndex
from edgeagent.agent.tools.documents.words import STOP_WORDS, WORD, best_sentences
from edgeagent.agent.tools.plain import printable
from edgeagent.agent.tools.protocol import (
    JsonSchema,
    ToolResult,
    object_schema,
    pattern_schema,
    string_argument,
    text_schema,
)
from edgeagent.errors import ToolError

MIN_COVERAGE = 0.5
"""A search is offered if a passage knows this part of the question's words, weighted by rarity."""


class DocumentSearch:
    """Searches the documents and shows the best passages."""

    name = "search"
    is_delegate = False
    description = (
        "Search the local documents. Use it for facts about the people, places, products and "
        "organizations that they describe."
    )
    parameters = object_schema(query=text_schema("Key words of the question", 80))

    def __init__(self, index: DocumentIndex, max_passages: int = 1, max_sentences: int = 2) -> None:
        """Search `index`; show up to `max_passages` passages of up to `max_sentences` each.

        The index is closed by who made it.
        """
        self._index = index
        self._max_passages = max_passages
        self._max_sentences = max_sentences

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer to search for words of the question, if the documents know enough of them."""
        try:
            if self._index.coverage(question) < MIN_COVERAGE:
                return None
        except ToolError:
            pass  # the call will say it
        words = dict.fromkeys(WORD.findall(" ".join((question, *results))))
        alternatives = "|".join([word for word in words if word.lower() not in STOP_WORDS][:60])
        if not alternatives:
            return None
        pattern = f"({alternatives})( ({alternatives})){{0,9}}"
        return object_schema(query=pattern_schema("", pattern))

    def run(self, arguments: Mapping[str, object]) -> ToolResult:
        """Return the best passages for `query`, each with its title, and where they stand.

        Raises:
            ToolError: Nothing was found.
        """
        query = string_argument(arguments, "query")
        found = self._index.search(query, self._max_passages)
        if not found:
            raise ToolError("no document matches these words")
        lines = (
            f"[{passage.heading}] "
            + " ".join(
                printable(
                    best_sentences(passage.text, passage.title, query, self._max_sentences)
                ).split()
            )
            for passage in found
        )
        return ToolResult("\n".join(lines), tuple(dict.fromkeys(p.label for p in found)))

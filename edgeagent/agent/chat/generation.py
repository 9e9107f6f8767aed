"""`{% generation %}` blocks: templates mark with them what the model wrote, for training.

They have no meaning when a prompt is made, but jinja2 does not know the tag.
"""

from __future__ import annotations

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser


class GenerationBlocks(Extension):
    """Renders the block as if the tags were not there."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's name and type

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the nodes inside of the block."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)

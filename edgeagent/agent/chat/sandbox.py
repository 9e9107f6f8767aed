"""A jinja2 sandbox that also ends: bounded iterations, calls and intermediate texts.

jinja2's own sandbox keeps templates from attributes and modules, but not from computing for ever:
two nested loops over `range(99999)` write nothing and take an hour.
"""

from __future__ import annotations

from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.filters import do_indent
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_STEPS = 100_000
"""Loop iterations and macro calls of one rendering; honest templates need a few per message."""
MAX_CHARS = 1 << 22
"""Characters of an intermediate text, items of a list, and the largest number as an argument."""
MAX_INDENT = 64
_STEP = "__step"


class _CountingGenerator(CodeGenerator):
    """Compiles a call of the step counter into every loop and macro, and checks `~`."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802 - jinja2's name
        _count(node.body, node.lineno)
        super().visit_For(node, frame)

    def macro_body(self, node: nodes.Macro | nodes.CallBlock, frame: Frame) -> Any:
        _count(node.body, node.lineno)
        return super().macro_body(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - jinja2's name
        self.write("environment.bounded(")
        super().visit_Concat(node, frame)
        self.write(")")


def _count(body: list[nodes.Node], lineno: int) -> None:
    call = nodes.Call(nodes.Name(_STEP, "load"), [], [], None, None)
    body.insert(0, nodes.ExprStmt(call).set_lineno(lineno))


def _indent(text: str, width: int = 4, first: bool = False, blank: bool = False) -> str:
    """jinja2's own filter for widths that people use."""
    if width > MAX_INDENT:
        raise SecurityError(f"it indents by more than {MAX_INDENT} characters")
    return do_indent(text, width, first, blank)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """See the module; `begin` starts the count of a rendering."""

    code_generator_class = _CountingGenerator
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of a jinja2 environment."""
        super().__init__(*args, **kwargs)
        self._steps = 0
        self.globals[_STEP] = self._step
        self.filters["indent"] = _indent
        # They pad to any width, and no chat template uses them.
        for name in ("center", "format", "wordwrap"):
            self.filters.pop(name)

    def begin(self) -> None:
        """Start counting anew."""
        self._steps = 0

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise SecurityError(f"it took more than {MAX_STEPS} steps")

    def bounded(self, value: Any) -> Any:
        """Return the value, unless it is a text or list that has become too long."""
        if isinstance(value, str | list | tuple) and len(value) > MAX_CHARS:
            raise SecurityError("it made too long a text")
        return value

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute `+`, `*`, `**` and `%`, unless the result would be too large."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" and not (numbers and abs(left) < 1 << 16 and abs(right) <= 64):
            raise SecurityError("it made too large a power")
        if operator == "%" and not numbers:
            raise SecurityError("texts cannot be formatted here")
        if operator == "*" and not numbers:
            sizes = [x if isinstance(x, int) else len(x) for x in (left, right)]
            if max(sizes[0], 0) * max(sizes[1], 0) > MAX_CHARS:
                raise SecurityError("it made too long a text")
        return self.bounded(super().call_binop(context, operator, left, right))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call something, unless a number among the arguments asks for too much."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, int) and abs(value) > MAX_CHARS:
                raise SecurityError(f"{value} is too large a number to call anything with")
        if getattr(obj, "__name__", "") in {"format", "format_map"}:
            raise SecurityError("texts cannot be formatted here")
        return super().call(context, obj, *args, **kwargs)

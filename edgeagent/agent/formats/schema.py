r"""JSON Schemas as rules of a Lark grammar (llguidance dialect).

Every value has one way of being written: fields in the schema's order, one space behind commas and
colons. So everything but the values themselves is forced, and appended without asking the model.

What a schema leaves without a limit gets one: a small model that repeats itself would otherwise
write a text, a list or a fraction until its tokens are used up, and the call would be cut off.
Recursive schemas may be nested a few times. Fields that are neither declared nor ruled out by
`additionalProperties` are only written where no field is declared at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from edgeagent.agent.formats.notation import JSON, Notation, quoted
from edgeagent.agent.formats.schema_keywords import (
    check_keywords,
    merged,
    resolve,
    types_of,
    without_annotations,
)
from edgeagent.errors import ToolError

MAX_TEXT_CHARS = 240
"""Of a text without `maxLength`: about sixty tokens, enough for a sentence or a path."""
MAX_ITEMS = 32
"""Of a list without `maxItems`."""
MAX_FIELDS = 8
"""Of fields that a schema allows without naming them."""
MAX_KEY_CHARS = 40
MAX_INTEGER = 10**15 - 1
"""Of a number without bounds; such integers are exact also in double precision."""
SMALLEST_STEP = 1e-9
"""Of a number with bounds and without `multipleOf`: a third would have no end of digits."""
_MAX_NESTING = 3
"""How often a recursive schema may contain itself, and levels of a value that may be anything."""

_NUMBER = r"/-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?/"
_INTEGER = r"/-?(0|[1-9][0-9]{0,14})/"
_KEY = rf'/"[^"\\\x00-\x1f\x7f]{{1,{MAX_KEY_CHARS}}}"/'
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"}
)
"""Those that llguidance knows; the others say something to people only."""

Json = Mapping[str, object]


def literal(text: str) -> str:
    """Return a text as a quoted Lark terminal."""
    return json.dumps(text, ensure_ascii=False)


def value_rules(name: str, schema: Json, notation: Notation = JSON) -> list[str]:
    """Return the lines of a grammar whose rule `name` is an object of the schema.

    Args:
        name: Name of the rule; those that it needs begin with it.
        schema: Schema of an object, such as the parameters of a tool.
        notation: How constants are written.

    Raises:
        ToolError: The schema cannot be followed; the message says why.
    """
    writer = _Writer(name, schema, notation)
    body = writer.arguments()
    return [*writer.lines, f"{name}: {body}"]


def field_rules(
    name: str, schema: Json, notation: Notation, key: Callable[[str], str]
) -> list[str]:
    """Return rules as `value_rules`, of the fields alone, without braces around them.

    Args:
        name: Name of the rule.
        schema: Schema of an object.
        notation: How constants are written.
        key: Returns what stands before the value of a field, such as `name=`.
    """
    writer = _Writer(name, schema, notation)
    body = writer.fields(writer.argument_schema(), key)
    if body is None:
        raise ToolError("no arguments fit the parameters")
    return [*writer.lines, f"{name}: {body}"]


class _Writer:
    """Writes the rules of one schema; `None` instead of a body: no value fits."""

    def __init__(self, prefix: str, root: Json, notation: Notation) -> None:
        self.lines: list[str] = []
        self._prefix = prefix
        self._root = root
        self._notation = notation
        self._named: dict[str, str] = {}
        self._depths: dict[str, int] = {}

    def argument_schema(self) -> Json:
        """The schema of the arguments: an object, without anything declared an empty one."""
        schema = without_annotations(self._root)
        while isinstance(pointer := schema.get("$ref"), str):
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = merged(without_annotations(resolve(self._root, pointer)), rest)
        if schema.get("type", "object") != "object":
            raise ToolError("they are not an object")
        open_ended = {"additionalProperties", "anyOf", "oneOf", "allOf"} & schema.keys()
        closed = {} if open_ended else {"additionalProperties": False}
        return {"type": "object", "properties": {}, **closed, **schema}

    def arguments(self) -> str:
        body = self._value(self.argument_schema())
        if body is None:
            raise ToolError("no arguments fit the parameters")
        return body

    def _rule(self, body: str, *, terminal: bool = False) -> str:
        """Return the name of a rule with this body, the same for the same body."""
        if body not in self._named:
            name = f"{self._prefix}_{len(self._named)}"
            name = name.upper() if terminal else name
            self._named[body] = name
            self.lines.append(f"{name}: {body}")
        return self._named[body]

    def _value(self, schema: object) -> str | None:
        """Return an expression that matches the values of a schema."""
        if isinstance(schema, bool):
            return self._anything(_MAX_NESTING - 1) if schema else None
        if not isinstance(schema, Mapping):
            raise ToolError(f"{str(schema)[:40]!r} is not a schema")
        schema = without_annotations(schema)
        check_keywords(schema)
        if "$ref" in schema:
            return self._referred(schema)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                rest = {key: value for key, value in schema.items() if key != keyword}
                return self._either(merged(rest, one) for one in _schemas(schema[keyword]))
        if "allOf" in schema:
            whole: Json = {key: value for key, value in schema.items() if key != "allOf"}
            for one in _schemas(schema["allOf"]):
                whole = merged(whole, one)
            return self._value(whole)
        return self._plain(schema)

    def _plain(self, schema: Json) -> str | None:
        """Return the values of a schema that refers to no other."""
        if "const" in schema or "enum" in schema:
            values = [schema["const"]] if "const" in schema else schema["enum"]
            if not isinstance(values, list | tuple):
                raise ToolError("an enum is not a list")
            texts = dict.fromkeys(self._notation.write(value) for value in values)
            return self._rule(" | ".join(map(literal, texts))) if texts else None
        types = types_of(schema)
        if not types:
            return self._anything(_MAX_NESTING - 1)
        if len(types) > 1:
            return self._either({**schema, "type": one, "nullable": False} for one in types)
        return self._typed(types[0], schema)

    def _typed(self, kind: str, schema: Json) -> str | None:
        notation = self._notation
        match kind:
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(kind, schema)
            case "boolean":
                return self._rule(f"{literal(notation.true)} | {literal(notation.false)}")
            case "null":
                return literal(notation.null)
            case "array":
                return self._array(schema)
            case "object":
                fields = self.fields(schema, lambda name: f"{quoted(name)}: ")
                return None if fields is None else self._rule(f'"{{" {fields} "}}"')
        raise ToolError(f"{kind[:40]!r} is not a type")

    def _either(self, schemas: Iterable[object]) -> str | None:
        found = [body for body in map(self._value, schemas) if body is not None]
        return self._rule(" | ".join(dict.fromkeys(found))) if found else None

    def _referred(self, schema: Json) -> str | None:
        pointer = str(schema["$ref"])
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        depth = self._depths.get(pointer, 0)
        if depth >= _MAX_NESTING:
            return None
        self._depths[pointer] = depth + 1
        try:
            target = resolve(self._root, pointer)
            return self._value(merged(target, rest) if rest else target)
        finally:
            self._depths[pointer] = depth

    def _string(self, schema: Json) -> str:
        keys = ("minLength", "maxLength", "pattern")
        leaf: dict[str, object] = {"type": "string"}
        leaf |= {key: schema[key] for key in keys if key in schema}
        if schema.get("format") in _FORMATS:
            leaf["format"] = schema["format"]
        shortest = schema.get("minLength", 0)
        longest = max(MAX_TEXT_CHARS, shortest if isinstance(shortest, int) else 0)
        leaf.setdefault("maxLength", longest)
        return self._rule(f"%json {json.dumps(leaf)}")

    def _number(self, kind: str, schema: Json) -> str:
        keys = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
        bounds = {key: schema[key] for key in keys if key in schema}
        if not bounds:
            return self._rule(_INTEGER if kind == "integer" else _NUMBER, terminal=True)
        leaf = {"type": kind, **bounds}
        if kind == "number":
            leaf.setdefault("multipleOf", SMALLEST_STEP)
        if not {"minimum", "exclusiveMinimum"} & bounds.keys():
            leaf["minimum"] = -MAX_INTEGER
        if not {"maximum", "exclusiveMaximum"} & bounds.keys():
            leaf["maximum"] = MAX_INTEGER
        return self._rule(f"%json {json.dumps(leaf)}")

    def _array(self, schema: Json) -> str | None:
        first = [self._value(one) for one in _schemas(schema.get("prefixItems", []))]
        least = _count(schema, "minItems", 0)
        most = _count(schema, "maxItems", max(MAX_ITEMS, least))
        if None in first[:least]:
            return None
        known = [body for body in first[:most] if body is not None]
        rest = self._value(schema.get("items", not known)) if most > len(known) else None
        least = max(least - len(known), 0)
        most = most - len(known) if rest is not None else 0
        if least > most:
            return None
        # An item that has a place of its own is always written: which ones may be left out is
        # told by minItems, and that is hardly ever set for such lists.
        items = [*known[:1], *(f'", " {body}' for body in known[1:])]
        if most and not items:
            more = f'{rest} (", " {rest}){{{max(least - 1, 0)},{most - 1}}}'
            items = [more if least else f"({more})?"]
        elif most:
            items.append(f'(", " {rest}){{{least},{most}}}')
        return self._rule(" ".join(['"["', *items, '"]"']))

    def fields(self, schema: Json, key: Callable[[str], str]) -> str | None:
        """Return the fields of an object, in their order; those not required may be left out."""
        declared = schema.get("properties") or {}
        required = schema.get("required") or []
        if not isinstance(declared, Mapping) or not isinstance(required, list | tuple):
            raise ToolError("the fields of an object are not declared as an object")
        extra = schema.get("additionalProperties", not declared)
        items: list[tuple[str, bool]] = []
        for name in dict.fromkeys((*declared, *map(str, required))):
            body = self._value(declared.get(name, extra))
            if body is not None:
                items.append((f"{literal(key(str(name)))} {body}", name in required))
            elif name in required:
                return None
        end = self._extra(extra, list(map(str, declared)))
        # From the last field to the first: what may follow if nothing was written yet, and what
        # if something was.
        opening, rest = end
        for item, is_required in reversed(items):
            further = self._rule(f'", " {item} {rest}')
            begun = f"{item} {rest}"
            opening = begun if is_required else self._rule(f"{begun} | {opening}")
            rest = further if is_required else self._rule(f"{further} | {rest}")
        return self._rule(opening)

    def _extra(self, schema: object, declared: list[str]) -> tuple[str, str]:
        """Return what fields that were not declared look like, as the first and further on."""
        body = self._value(schema) if schema is not False else None
        if body is None:
            return '""', '""'
        names = " | ".join(literal(quoted(name)) for name in declared)
        free = f"{_KEY} & ~({names})" if declared else _KEY
        pair = self._rule(f'{self._rule(free, terminal=True)} ": " {body}')
        opening = self._rule(f'({pair} (", " {pair}){{0,{MAX_FIELDS - 1}}})?')
        return opening, self._rule(f'(", " {pair}){{0,{MAX_FIELDS}}}')

    def _anything(self, levels: int) -> str:
        notation = self._notation
        scalars = [
            self._string({}),
            self._number("number", {}),
            *map(literal, (notation.true, notation.false, notation.null)),
        ]
        if not levels:
            return self._rule(" | ".join(scalars))
        inner = self._anything(levels - 1)
        key = self._rule(_KEY, terminal=True)
        pair = f'{key} ": " {inner}'
        more = f"{{0,{MAX_FIELDS - 1}}}"
        scalars += [
            f'"[" ({inner} (", " {inner}){more})? "]"',
            f'"{{" ({pair} (", " {pair}){more})? "}}"',
        ]
        return self._rule(" | ".join(scalars))


def _schemas(value: object) -> list[object]:
    if not isinstance(value, list | tuple):
        raise ToolError("a list of schemas is none")
    return list(value)


def _count(schema: Json, key: str, default: int) -> int:
    value = schema.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ToolError(f"{key} is not a number of items")
    return min(value, MAX_ITEMS * 4)

"""Grammars from JSON Schemas: what they allow, what they bound, what they refuse."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.agent.formats import tool_format
from edgeagent.agent.formats.native import NativeFormat
from edgeagent.agent.formats.notation import JSON, PYTHON, Notation
from edgeagent.agent.formats.protocol import Call, TurnRules
from edgeagent.agent.formats.schema import MAX_ITEMS, MAX_TEXT_CHARS, value_rules
from edgeagent.agent.formats.schema_check import check_schema
from edgeagent.agent.tools.protocol import Offer
from edgeagent.engine.grammar import SINGLE_BYTES, GrammarMatcher, GrammarTokenizer
from edgeagent.errors import EngineError, ToolError

TOKENIZER = GrammarTokenizer(SINGLE_BYTES, None, ())
NATIVE = ("hermes", "llama3_json", "llama3_pythonic", "mistral", "phi4", "gemma", "smollm3")


def allows(schema: dict[str, Any], text: str, notation: Notation = JSON) -> bool:
    grammar = "\n".join(['start: args "."', *value_rules("args", schema, notation)])
    try:
        GrammarMatcher(TOKENIZER, grammar).consume(list(f"{text}.".encode()))
    except EngineError:
        return False
    return True


def field(schema: dict[str, Any], *, defs: dict[str, Any] | None = None) -> dict[str, Any]:
    """The schema of an object whose one field has this schema."""
    return {
        "type": "object",
        "properties": {"x": schema},
        "required": ["x"],
        **({"$defs": defs} if defs else {}),
    }


NODE = {
    "type": "object",
    "properties": {
        "v": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["v"],
}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string"}, ['""', '"a\\n\\"é\U0001f600"'], ["1", "a", '"a\n"']),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"'], ['"a"', '"abcd"']),
        ({"type": "string", "pattern": "^[a-z]+-\\d$"}, ['"ab-1"'], ['"ab"', '"1-1"']),
        ({"type": "string", "format": "date"}, ['"2024-02-29"'], ['"2024-2-9"', '"x"']),
        ({"type": "string", "format": "color"}, ['"red"'], ["1"]),
        ({"type": "integer"}, ["0", "-12", "3"], ["1.0", "01", "+1", "true"]),
        ({"type": "integer", "minimum": 1, "maximum": 12}, ["1", "12"], ["0", "13", "-1"]),
        ({"type": "integer", "multipleOf": 5}, ["10", "-5"], ["7"]),
        ({"type": "number"}, ["0", "-0.5", "1e-9", "1234.5"], [".5", "1.", "NaN", "1e999"]),
        ({"type": "number", "minimum": 0, "maximum": 1}, ["0.25", "1"], ["1.5", "-0.1"]),
        ({"type": "boolean"}, ["true", "false"], ["1", '"true"', "True"]),
        ({"type": "null"}, ["null"], ["0", "None"]),
        ({"enum": ["a", 1, None, True]}, ['"a"', "1", "null", "true"], ['"b"', "2", "false"]),
        ({"const": {"k": [1]}}, ['{"k": [1]}'], ['{"k": [2]}', "{}"]),
        ({"type": ["integer", "null"]}, ["1", "null"], ['"1"']),
        ({"type": "integer", "nullable": True}, ["1", "null"], ['"1"']),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, ["1", "true"], ["null"]),
        (
            {"type": "object", "oneOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}]},
            ['{"a": 1}'],
            ["{}", '{"a": 2}'],
        ),
        (
            {"allOf": [{"type": "string"}, {"maxLength": 1}]},
            ['"a"'],
            ['"ab"', "1"],
        ),
        ({"type": "array", "items": {"type": "integer"}}, ["[]", "[1, 2]"], ["[1,2]", '["a"]']),
        (
            {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
            ["[1]", "[1, 2]"],
            ["[]", "[1, 2, 3]"],
        ),
        (
            {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
            ['["a", 1]'],
            ['["a", 1, 2]', '[1, "a"]'],
        ),
        ({"type": "array"}, ['[1, "a", [true], {"k": null}]'], ["{}"]),
        ({"type": "object"}, ["{}", '{"any": [1]}'], ["[]", '{"a" :1}']),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            ['{"a": 1, "b": 2}', "{}"],
            ['{"a": "b"}'],
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                "additionalProperties": {"type": "boolean"},
            },
            ["{}", '{"b": 1}', '{"a": 1, "b": 2, "z": true}', '{"z": true, "y": false}'],
            ['{"b": 1, "a": 2}', '{"z": 1}', '{"b": true}', '{"z": true, "a": 1}'],
        ),
        ({"properties": {"a": {}}}, ["{}", '{"a": [1, null]}'], ['{"b": 1}']),
        ({}, ["1", '"a"', '[{"k": 1.5}]', "null"], ["[1,2]", "undefined"]),
        (True, ["1", "null"], ["x"]),
    ],
)
def test_values_of_a_schema(schema: dict[str, Any], good: list[str], bad: list[str]) -> None:
    for value in good:
        assert allows(field(schema), f'{{"x": {value}}}'), value
    for value in bad:
        assert not allows(field(schema), f'{{"x": {value}}}'), value


def test_optional_fields_come_in_order_and_may_be_left_out() -> None:
    fields = {name: {"type": "integer"} for name in "abcd"}
    schema = {"type": "object", "properties": fields, "required": ["c"]}
    for text in (
        '{"c": 1}',
        '{"a": 1, "c": 1}',
        '{"a": 1, "b": 2, "c": 3, "d": 4}',
        '{"c": 3, "d": 4}',
    ):
        assert allows(schema, text)
    for text in ("{}", '{"a": 1, "b": 2}', '{"c": 1, "a": 1}', '{"c": 1, }', '{, "c": 1}'):
        assert not allows(schema, text)


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"type": "object", "properties": {}}])
def test_a_tool_without_parameters_gets_none(schema: dict[str, Any]) -> None:
    assert allows(schema, "{}")
    assert not allows(schema, '{"a": 1}')


def test_references_and_recursion_with_an_end() -> None:
    schema = field({"$ref": "#/$defs/node"}, defs={"node": NODE})

    def chain(length: int) -> str:
        text = '{"v": 0}'
        for _ in range(length - 1):
            text = f'{{"v": 1, "next": {text}}}'
        return f'{{"x": {text}}}'

    assert allows(schema, chain(1))
    assert allows(schema, chain(3))
    assert not allows(schema, chain(4))
    assert allows(schema, '{"x": {"v": 1, "next": null}}')
    root = {"type": "object", "properties": {"k": {"type": "array", "items": {"$ref": "#"}}}}
    assert allows(root, '{"k": [{"k": []}, {}]}')


def test_what_has_no_limit_gets_one() -> None:
    text = {"type": "string"}
    assert allows(field(text), f'{{"x": "{"a" * MAX_TEXT_CHARS}"}}')
    assert not allows(field(text), f'{{"x": "{"a" * (MAX_TEXT_CHARS + 1)}"}}')
    assert not allows(field({"type": "string", "pattern": "^a+$"}), f'{{"x": "{"a" * 300}"}}')
    assert allows(field({"type": "string", "maxLength": 500}), f'{{"x": "{"a" * 500}"}}')
    items = ", ".join("1" * MAX_ITEMS)
    assert allows(field({"type": "array"}), f'{{"x": [{items}]}}')
    assert not allows(field({"type": "array"}), f'{{"x": [{items}, 1]}}')
    for kind in ("integer", "number"):
        for bounds in ({}, {"minimum": 0}):
            assert not allows(field({"type": kind, **bounds}), f'{{"x": {"3" * 40}}}')
    for bounds in ({}, {"minimum": 0, "maximum": 1}):
        assert not allows(field({"type": "number", **bounds}), f'{{"x": 0.{"3" * 40}}}')


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "array"}, "not an object"),
        (field({"not": {}}), "'not' is not supported"),
        (field({"$ref": "#/$defs/nothing"}), "refers to nothing"),
        (field({"$ref": "https://example.org/x.json"}), "another document"),
        (field({"type": "strin"}), "'strin' is not a type"),
        (field({"type": "string", "pattern": "(?=a)b"}), "regex"),
        (field({"type": "string", "minLength": 5, "maxLength": 2}), "minLength"),
        (field({"type": "integer", "minimum": 5, "maximum": 2}), "minimum"),
        (field({"allOf": [{"type": "string"}, {"type": "integer"}]}), "different types"),
        (field({"enum": []}), "no arguments fit"),
        (field(False), "no arguments fit"),
        (field({"$ref": "#/properties/x"}), "no arguments fit"),
        (field({"type": "array", "minItems": 3, "maxItems": 1}), "no arguments fit"),
        (field({"anyOf": 3}), "list of schemas"),
        ({"properties": [1]}, "fields of an object"),
    ],
)
def test_a_schema_that_cannot_be_enforced_is_found_early(
    schema: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ToolError, match=f"'bad' cannot be enforced: .*{reason}"):
        check_schema("bad", schema)


def test_a_schema_that_can_be_enforced_passes() -> None:
    check_schema("good", field({"type": "string", "format": "uri"}))


NAMES = st.sampled_from(["a", "b2", "from", "long_name", "x-y", "Größe"])
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\\\"'\n\t<>[]{}|\x01\x7f/"),
    max_size=12,
)
NUMBERS = st.floats(-1e9, 1e9).map(lambda value: round(value, 6))


@st.composite
def schemas_with_values(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, Any], Any]:
    """A schema and a value of it, its fields in order."""
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "nullable"]
    kind = draw(st.sampled_from([*kinds, "array", "object", "anyOf"] if depth else kinds))
    inner = schemas_with_values(depth - 1)
    if kind == "array":
        schema, value = draw(inner)
        return {"type": "array", "items": schema}, [value] * draw(st.integers(0, 3))
    if kind == "object":
        fields = {name: draw(inner) for name in draw(st.lists(NAMES, unique=True, max_size=4))}
        required = draw(st.lists(st.sampled_from([*fields]), unique=True)) if fields else []
        kept = [name for name in fields if name in required or draw(st.booleans())]
        schema = {
            "type": "object",
            "properties": {name: schema for name, (schema, _) in fields.items()},
            "required": required,
            "additionalProperties": False,
        }
        return schema, {name: fields[name][1] for name in kept}
    if kind == "anyOf":
        both = [draw(inner), draw(inner)]
        return {"anyOf": [schema for schema, _ in both]}, draw(st.sampled_from(both))[1]
    if kind == "nullable":
        return {"type": ["string", "null"]}, draw(st.none() | TEXTS)
    if kind == "enum":
        values = draw(st.lists(TEXTS | st.integers(-9, 9) | st.none(), min_size=1, max_size=4))
        return {"enum": values}, draw(st.sampled_from(values))
    values: dict[str, st.SearchStrategy[Any]] = {
        "string": TEXTS,
        "integer": st.integers(-(10**15) + 1, 10**15 - 1),
        "number": NUMBERS,
        "boolean": st.booleans(),
        "null": st.none(),
    }
    return {"type": kind}, draw(values[kind])


@st.composite
def calls(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    found = {
        name: draw(schemas_with_values()) for name in draw(st.lists(NAMES, unique=True, max_size=3))
    }
    optional = draw(st.sets(st.sampled_from([*found]))) if found else set()
    schema = {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in found.items()},
        "required": [name for name in found if name not in optional],
    }
    left_out = optional if draw(st.booleans()) else set()
    return schema, {name: value for name, (_, value) in found.items() if name not in left_out}


@settings(max_examples=40, deadline=None)
@given(calls())
def test_every_value_of_a_schema_can_be_written_and_is_read_back(
    found: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    schema, arguments = found
    assert allows(schema, JSON.write(arguments))
    assert allows(schema, PYTHON.write(arguments), PYTHON)
    assert json.loads(JSON.write(arguments)) == arguments
    call = Call("tool", arguments)
    for name in NATIVE:
        text_format = tool_format(name)
        assert isinstance(text_format, NativeFormat)
        text = text_format.write([call, call])
        grammar = text_format.grammar(TurnRules((Offer("tool", schema),), max_calls=2))
        GrammarMatcher(TOKENIZER, grammar).consume(list(text.encode()))
        read = text_format.parse(text).calls
        assert read == (call, call)
        assert [type(value) for value in read[0].arguments.values()] == [
            type(value) for value in arguments.values()
        ] or any(isinstance(value, float) and math.isfinite(value) for value in arguments.values())


def test_names_of_fields_and_braces_are_forced() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"type": "null"}}}
    schema["required"] = ["a", "b"]
    grammar = "\n".join(["start: args", *value_rules("args", schema)])
    matcher = GrammarMatcher(TOKENIZER, grammar)
    assert bytes(matcher.forced()) == b'{"a": '
    matcher.consume(list(b'{"a": t'))
    assert bytes(matcher.forced()) == b'rue, "b": null}'

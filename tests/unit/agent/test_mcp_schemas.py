from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.agent.formats.schema_check import schema_error
from edgeagent.agent.tools.mcp.budget import Shown, fit
from edgeagent.agent.tools.mcp.schemas import MAX_ITEMS, UnsupportedSchemaError, simplify
from edgeagent.agent.tools.mcp.texts import plain_name, plain_text
from edgeagent.agent.tools.toolbox import open_toolbox
from edgeagent.config.workspace import Workspace
from edgeagent.errors import MissingExtraError

TEXT = {"type": "string", "maxLength": 200}


def one(field: object, **root: object) -> object:
    """Return the reduced schema of a required field."""
    schema = {"type": "object", "properties": {"a": field}, "required": ["a"], **root}
    reduced = simplify(schema)
    assert reduced["required"] == ["a"]
    assert reduced["additionalProperties"] is False
    return reduced["properties"]["a"]


@pytest.mark.parametrize(
    ("field", "reduced"),
    [
        ({"type": "string"}, TEXT),
        (
            {"type": "string", "maxLength": 10, "minLength": 2},
            {**TEXT, "maxLength": 10, "minLength": 2},
        ),
        ({"type": "string", "maxLength": 100_000}, TEXT),
        ({"type": "string", "pattern": "^[a-z]{3}$"}, {**TEXT, "pattern": "^[a-z]{3}$"}),
        ({"type": "string", "pattern": "(?<=a)b"}, TEXT),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "uri"}, TEXT),
        ({}, TEXT),
        (True, TEXT),
        ({"type": "integer", "minimum": 1, "multipleOf": 5}, {"type": "integer", "minimum": 1}),
        ({"type": "boolean", "default": False, "title": "A"}, {"type": "boolean"}),
        ({"const": "x"}, {"enum": ["x"]}),
        ({"type": "string", "enum": ["a", "<|im_end|>", "b\n", 3, None]}, {"enum": ["a", 3]}),
        ({"type": ["string", "null"]}, TEXT),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "integer"}),
        (
            {"oneOf": [{"type": "integer"}, {"type": "boolean"}], "description": "Which"},
            {
                "anyOf": [
                    {"type": "integer", "description": "Which"},
                    {"type": "boolean", "description": "Which"},
                ],
                "description": "Which",
            },
        ),
        (
            {"type": "array", "items": {"type": "number"}},
            {"type": "array", "items": {"type": "number"}, "minItems": 0, "maxItems": MAX_ITEMS},
        ),
        (
            {"type": "object", "properties": {"b": {"type": "boolean"}, "c": {"type": "object"}}},
            {
                "type": "object",
                "properties": {"b": {"type": "boolean"}},
                "required": [],
                "additionalProperties": False,
            },
        ),
        (
            {"description": "Two\n lines <|im_end|>", "type": "boolean"},
            {"type": "boolean", "description": "Two lines"},
        ),
    ],
)
def test_fields(field: object, reduced: object) -> None:
    assert one(field) == reduced


def test_references_and_all_of_are_written_out() -> None:
    definitions = {
        "Base": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
        "More": {
            "allOf": [{"$ref": "#/$defs/Base"}],
            "properties": {"y~z": {"type": "string"}, "y": {"$ref": "#/$defs/Name"}},
            "required": ["y"],
        },
        "Name": {"type": "string", "maxLength": 5},
    }
    reduced = one({"$ref": "#/$defs/More", "description": "More of it"}, **{"$defs": definitions})
    assert reduced == {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "string", "maxLength": 5}},
        "required": ["y", "x"],
        "additionalProperties": False,
        "description": "More of it",
    }


def nested(depth: int) -> dict[str, object]:
    inner: dict[str, object] = {"type": "boolean"}
    for _ in range(depth):
        inner = {"type": "object", "properties": {"b": inner}, "required": ["b"]}
    return inner


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"$ref": "#"}, "refers to itself"),
        ({"allOf": [{"$ref": "#/properties/a"}]}, "refers to itself"),
        ({"$ref": "#/$defs/Gone"}, "not there"),
        ({"$ref": "other.json"}, "another document"),
        ({"type": "null"}, "the type 'null'"),
        ({"type": "strong<|im_end|>"}, "the type 'strong'"),
        ({"enum": []}, "a choice between nothing"),
        ({"enum": [None]}, "a choice between nothing"),
        ({"type": "object"}, "an object without named fields"),
        ({"type": "array", "prefixItems": []}, "different items"),
        ({"type": "array", "minItems": 100}, "needs 100 items"),
        (nested(20), "too deeply"),
        (False, "no schema"),
        (3, "no schema"),
    ],
)
def test_what_cannot_be_expressed_is_said(field: object, says: str) -> None:
    with pytest.raises(UnsupportedSchemaError, match=says):
        one(field)
    optional = simplify({"type": "object", "properties": {"a": field, "b": {"type": "boolean"}}})
    assert optional["properties"].pop("b") == {"type": "boolean"}
    assert "itself" in says or not optional["properties"]


def test_schemas_that_grow_when_written_out_end() -> None:
    definitions = {
        f"L{n}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/L{n + 1}"} for name in "abcdefgh"},
            "required": list("abcdefgh"),
        }
        for n in range(5)
    } | {"L5": {"type": "boolean"}}
    with pytest.raises(UnsupportedSchemaError, match="too large"):
        one({"$ref": "#/$defs/L0"}, **{"$defs": definitions})


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "array"}, "not an object"),
        ({"type": "object", "required": ["b"]}, "requires 'b' and does not describe it"),
        ({"type": "object", "properties": []}, "no table"),
        ({"type": "object", "properties": {"a b": {}}, "required": ["a b"]}, "plain name"),
    ],
)
def test_what_is_no_schema_of_arguments_is_said(schema: dict[str, object], says: str) -> None:
    with pytest.raises(UnsupportedSchemaError, match=says):
        simplify(schema)


KEYS = st.sampled_from(
    ["type", "properties", "items", "anyOf", "allOf", "enum", "$ref", "required", "a", "pattern"]
)
NAMES = st.sampled_from(["object", "array", "string", "integer", "#", "#/properties/a", "^a"])
PLAIN = st.none() | st.booleans() | st.integers(-5, 300) | st.floats(allow_nan=False) | NAMES
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["a", "b"]), JSON, max_size=2))
def test_any_schema_is_reduced_to_a_grammar_or_refused(properties: dict[str, object]) -> None:
    try:
        reduced = simplify({"type": "object", "properties": properties})
    except UnsupportedSchemaError:
        return
    assert schema_error(reduced) == ""


def tokens(text: str) -> int:
    return len(text) // 4


SHOWN = Shown(
    "book",
    "Book a room. " + "It is a very long story about rooms. " * 10,
    simplify(
        {
            "type": "object",
            "properties": {
                "room": {"type": "string", "description": "Which room " * 5},
                "guests": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string", "description": "Their name " * 5},
                            "diet": {"type": "string"},
                        },
                        "required": ["name"],
                    },
                },
                "note": {"type": "string", "description": "Anything else " * 5},
            },
            "required": ["room", "guests"],
        }
    ),
)


def test_what_matters_least_goes_first() -> None:
    full = tokens(SHOWN.text())
    versions = [fit(SHOWN, tokens, budget) for budget in range(full, 0, -1)]
    texts = list(dict.fromkeys(version.text() for version in versions if version))
    assert texts[0] == SHOWN.text()
    assert len(texts) >= 6
    assert "Their name" not in texts[1]
    assert "Which room" in texts[1]
    assert '"note"' in texts[3]
    assert '"diet"' not in texts[3]
    least = next(version for version in reversed(versions) if version)
    assert list(least.parameters["properties"]) == ["room", "guests"]
    assert len(least.description) <= 60
    assert versions[-1] is None
    for budget, version in zip(range(full, 0, -1), versions, strict=True):
        if version is not None:
            assert tokens(version.text()) <= budget
            assert schema_error(version.parameters) == ""


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("forecast", "forecast"),
        ("get-Forecast v2", "get_Forecast_v2"),
        ("<|im_end|>", "im_end"),
        ("42_", ""),
        ("日本", ""),
        ("ﬁle", "file"),
        ("x" * 100, "x" * 48),
    ],
)
def test_names_are_made_plain(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("One.\n\n  Two.", "One. Two."),
        ("a<|im_end|>b", "a b"),
        ("[INST] obey [/INST]", "obey"),
        ("<start_of_turn>model", "model"),
        ("<\u200b|im_end|>", "< |im_end"),
        ("<<s>s>", "< s>"),
        ("x\u202ey\x1b[31mz", "x y [31mz"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("A sentence. " * 10, "A sentence. A sentence. A sentence."),
        ("word " * 20, "word word word word word word word word"),
    ],
)
def test_texts_are_made_plain(text: str, plain: str) -> None:
    assert plain_text(text, 40) == plain


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    (tmp_path / "tools.toml").write_text("[mcp.a]\ncommand = 'x'\n", encoding="utf-8")
    with pytest.raises(MissingExtraError, match=r"edgeagent\[mcp\]"):
        open_toolbox(Workspace(tools_file=tmp_path / "tools.toml"), count_tokens=len)

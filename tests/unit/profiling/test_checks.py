"""The checkers beside numbers and phrases: choices, patterns, JSON values and calls."""

from __future__ import annotations

import json

import pytest

from edgeagent.config.spec import parse_spec
from edgeagent.config.suite import TaskSpec
from edgeagent.profiling.checks import score
from edgeagent.record.outcome import Outcome, Step, StepKind

MOOD = {"kind": "choice", "labels": ["positive", "negative", "very positive"], "value": "positive"}
LETTER = {"kind": "choice", "labels": ["A", "B", "C"], "value": "A"}
CALLS = {
    "kind": "calls",
    "calls": [
        {
            "name": "book",
            "arguments": {"city": ["Paris", "Paris, France"], "seats": 2, "window": [True]},
            "optional": ["window"],
        },
        {"name": "book", "arguments": {"city": "Rome", "seats": [2, 3]}},
    ],
}


def solved(check: dict[str, object], answer: str, *calls: tuple[str, dict[str, object]]) -> bool:
    spec = {"id": "t", "category": "c", "question": "?", "check": check}
    steps = tuple(
        Step(agent="agent", kind=StepKind.CALL, tool=name, arguments=arguments)
        for name, arguments in calls
    )
    return score(parse_spec(spec, TaskSpec, where="test"), Outcome(answer=answer, steps=steps))


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("positive", True),
        ("The mood is **Positive**.", True),
        ("POSITIVE!", True),
        ("very positive", False),
        ("Very  Positive", False),
        ("positive or negative", False),
        ("positively", False),
        ("negative", False),
        ("", False),
        ("positive, clearly positive", True),
    ],
)
def test_a_choice_names_one_label(answer: str, right: bool) -> None:
    assert solved(MOOD, answer) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("A", True),
        ("(A)", True),
        ("A) because", True),
        ("Answer: A.", True),
        ("The answer is A, not a guess.", True),
        ("A dog barks.", False),
        ("a", False),
        ("B", False),
        ("A or B", False),
        ("A's", False),
        ("The answer is A because B is wrong", False),
    ],
)
def test_a_letter_stands_alone(answer: str, right: bool) -> None:
    assert solved(LETTER, answer) is right


def test_synonyms_name_their_label() -> None:
    check = MOOD | {"synonyms": {"positive": ["bullish"], "negative": ["bearish"]}}
    assert solved(check, "bullish")
    assert solved(check, "bullish, so positive")
    assert not solved(check, "bullish or bearish")


def test_exact_is_all_or_nothing() -> None:
    check = {"kind": "exact", "any_of": ["The Blue Whale", "blue whale!"]}
    assert solved(check, "a blue  whale.")
    assert not solved(check, "the blue whale is large")
    assert not solved(check | {"any_of": ["!"]}, "?")
    strict = check | {"normalize": False}
    assert solved(strict, " The Blue Whale\n")
    assert not solved(strict, "the blue whale")


def test_a_pattern_is_found() -> None:
    assert solved({"kind": "regex", "pattern": "^INV-[0-9]{4}$"}, "INV-1234")
    assert not solved({"kind": "regex", "pattern": "^INV-[0-9]{4}$"}, "inv-1234")
    assert solved({"kind": "regex", "pattern": "inv", "ignore_case": True}, "an INV number")


def test_further_right_numbers() -> None:
    check = {"kind": "number", "value": 0.234, "or_values": [23.4], "rel_tol": 0.01}
    assert solved(check, "about 23.5 %")
    assert solved(check, "0.2341")
    assert not solved(check, "2.34")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"name": "Ann", "ages": [3, 4]}', True),
        ('Here it is:\n```json\n{"ages": [3.0, 4], "name": " ann "}\n```', True),
        ('{"name": "Ann", "ages": [4, 3]}', False),
        ('{"name": "Ann", "ages": [3, 4], "city": null}', False),
        ('{"name": "Ann"}', False),
        ('{"name": "Ann", "ages": [3, true]}', False),
        ('{"name": "Ann", "ages": [3, 4]', False),
        ("[" * 100_000, False),
        ('{"name": "Ann", "ages": [3, 1e999]}', False),
        (f'{{"name": "Ann", "ages": [3, {"9" * 400}]}}', False),
        ("", False),
    ],
)
def test_json_values(answer: str, right: bool) -> None:
    assert solved({"kind": "json", "value": {"name": "Ann", "ages": [3, 4]}}, answer) is right


def test_json_options() -> None:
    check = {"kind": "json", "value": {"a": ["x", "y"]}}
    assert solved(check | {"any_order": True}, '{"a": ["y", "x"]}')
    assert not solved(check | {"any_order": True}, '{"a": ["y", "y"]}')
    assert solved(check | {"extra_keys": True}, '{"a": ["x", "y"], "b": 1}')
    assert not solved(check | {"ignore_case": False}, '{"a": ["X", "y"]}')
    assert solved({"kind": "json", "value": True}, "true")
    assert not solved({"kind": "json", "value": 1}, "true")
    assert solved({"kind": "json", "value": None}, "null")


PARIS = ("book", {"city": "paris", "seats": 2.0})
ROME = ("book", {"city": "Rome", "seats": 3})


@pytest.mark.parametrize(
    ("calls", "right"),
    [
        ([PARIS, ROME], True),
        ([ROME, PARIS], True),
        ([("book", {**PARIS[1], "window": True}), ROME], True),
        ([("book", {**PARIS[1], "window": 1}), ROME], False),
        ([("book", {**PARIS[1], "city": "Paris,  FRANCE"}), ROME], True),
        ([PARIS], False),
        ([PARIS, ROME, ROME], False),
        ([PARIS, PARIS], False),
        ([("book", {"city": "paris"}), ROME], False),
        ([("book", {**PARIS[1], "day": 1}), ROME], False),
        ([("buy", PARIS[1]), ROME], False),
        ([("book", {**PARIS[1], "seats": 10**400}), ROME], False),
        ([("book", {**PARIS[1], "seats": "2"}), ROME], False),
        ([("book", {**PARIS[1], "seats": [2]}), ROME], False),
    ],
)
def test_exactly_the_expected_calls(
    calls: list[tuple[str, dict[str, object]]], right: bool
) -> None:
    assert solved(CALLS, json.dumps("said"), *calls) is right


def test_calls_in_order() -> None:
    assert solved(CALLS | {"in_order": True}, "", PARIS, ROME)
    assert not solved(CALLS | {"in_order": True}, "", ROME, PARIS)


def test_calls_that_fit_several_expectations_are_paired_well() -> None:
    expected = [
        {"name": "f", "arguments": {"x": [1, 2]}},
        {"name": "f", "arguments": {"x": [1]}},
    ]
    check = {"kind": "calls", "calls": expected}
    assert solved(check, "", ("f", {"x": 1}), ("f", {"x": 2}))
    assert not solved(check, "", ("f", {"x": 2}), ("f", {"x": 2}))


def test_no_call_may_be_expected() -> None:
    assert solved({"kind": "calls", "calls": []}, "I cannot do that.")
    assert not solved({"kind": "calls", "calls": []}, "Done.", ROME)


def test_values_inside_values() -> None:
    def check(value: object) -> dict[str, object]:
        return {"kind": "calls", "calls": [{"name": "f", "arguments": {"x": value}}]}

    assert solved(check([[1, 2]]), "", ("f", {"x": [1, 2.0]}))
    assert not solved(check([[1, 2]]), "", ("f", {"x": [2, 1]}))
    assert solved(check({"a": [1]}), "", ("f", {"x": {"a": [1]}}))
    assert not solved(check({"a": [1]}), "", ("f", {"x": {"a": [1], "b": 1}}))
    assert solved(check(None), "", ("f", {"x": None}))
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    step = Step.model_construct(agent="a", kind=StepKind.CALL, tool="f", arguments={"x": deep})
    spec = {"id": "t", "category": "c", "question": "?", "check": check([[[[[1]]]]])}
    outcome = Outcome.model_construct(answer="", steps=(step,))
    assert not score(parse_spec(spec, TaskSpec, where="test"), outcome)

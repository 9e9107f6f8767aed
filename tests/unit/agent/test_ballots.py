from __future__ import annotations

import itertools
import json
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.agent.ballots import ballot, calls_ballot, elected, is_decided

QUESTION = "How many crowns do 12 berths cost?"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("168", "168.0"),
        ("They cost 1,856 crowns.", "1856"),
        ("12 berths cost 168 crowns.", "It is 168."),
        ("The dog is Tolliver.", "the dog is tolliver"),
        ("A red cup!", "red cup"),
        ("The", "the"),
    ],
)
def test_answers_that_say_the_same_agree(one: str, other: str) -> None:
    assert ballot(one, QUESTION) == ballot(other, QUESTION)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("168", "169"),
        ("-168", "168"),
        ("The dog is Tolliver.", "The dog is Oliver."),
        ("Between 3 and 5.", "Between 3 and 6."),
        ("one", "1"),
    ],
)
def test_answers_that_differ_do_not(one: str, other: str) -> None:
    assert ballot(one, QUESTION) != ballot(other, QUESTION)


def calls(*made: tuple[str, dict[str, object]]) -> str:
    return "\n".join(json.dumps({"name": name, "arguments": args}) for name, args in made)


def test_calls_agree_as_sets_of_values() -> None:
    one = calls(("f", {"a": 1, "b": ["x", 2.5]}), ("g", {}))
    other = calls(("g", {}), ("f", {"b": ["x", 2.5], "a": 1.0}))
    assert calls_ballot(one, "") == calls_ballot(other, "")


@pytest.mark.parametrize(
    "other",
    [
        calls(("f", {"a": 2})),
        calls(("g", {"a": 1})),
        calls(("f", {"a": "1"})),
        calls(("f", {"a": True})),
        calls(("f", {"a": None})),
        calls(("f", {"a": [1]})),
        calls(("f", {"a": 1}), ("f", {"a": 2})),
        "There is no such function.",
        "1",
    ],
)
def test_other_calls_do_not(other: str) -> None:
    assert calls_ballot(calls(("f", {"a": 1})), "") != calls_ballot(other, "")


def test_words_instead_of_calls_vote_as_words() -> None:
    assert calls_ballot("No function serves.", "") == ballot("no function serves", "")
    assert calls_ballot("", "") == ballot("", "")
    assert calls_ballot("[" * 100_000, "") == ballot("[" * 100_000, "")


def test_most_votes_win_and_ties_go_to_the_first() -> None:
    assert elected({0: "a", 1: "b", 2: "b", 3: "c"}) == 1
    assert elected({0: "a", 1: "b", 2: "b", 3: "a"}) == 0
    assert elected({3: "a", 1: "b"}) == 1


@given(
    st.dictionaries(st.integers(0, 5), st.sampled_from("abc"), max_size=5),
    st.sets(st.integers(0, 5), max_size=3),
)
def test_a_vote_is_decided_when_no_further_votes_change_it(
    ballots: dict[int, Hashable], waiting: set[int]
) -> None:
    undecided = sorted(waiting - set(ballots))
    outcomes = set()
    # Whoever is undecided may vote for anything, new things too, or abstain.
    for votes in itertools.product(["a", "b", "c", "new", None], repeat=len(undecided)):
        cast = {row: vote for row, vote in zip(undecided, votes, strict=True) if vote is not None}
        everybody = {**ballots, **cast}
        outcomes.add(everybody[elected(everybody)] if everybody else None)
    assert is_decided(ballots, undecided) == (len(outcomes) == 1)

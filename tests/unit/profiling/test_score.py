from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.config.suite import Category, MatchCheck, NumberCheck, TaskSpec
from edgeagent.profiling.checks import score
from edgeagent.profiling.checks.number import number_solved
from edgeagent.profiling.checks.phrases import match_solved, normalized_words
from edgeagent.record.outcome import Outcome, Step, StepKind

TICKETS = "How much do 14 tickets cost in 2 shops?"


def number(value: float, **options: float) -> NumberCheck:
    return NumberCheck(kind="number", value=value, **options)


def match(*any_of: str, none_of: tuple[str, ...] = (), max_words: int | None = None) -> MatchCheck:
    return MatchCheck(kind="match", any_of=any_of, none_of=none_of, max_words=max_words)


def task(check: NumberCheck | MatchCheck, **options: object) -> TaskSpec:
    return TaskSpec.model_validate(
        {"id": "t", "category": Category.NO_TOOL, "question": TICKETS, "check": check, **options}
    )


@pytest.mark.parametrize(
    "answer",
    [
        "96.6",
        "96.60.",
        "$96.60",
        "The tickets cost **96.60** crowns.",
        "14 * 6.90 = 96.60",
        "14 tickets cost 96.60 crowns.",
        "They cost 96.60 crowns for 14 tickets.",
        "First I said 90, but it is 96.6",
    ],
)
def test_the_last_new_number_counts(answer: str) -> None:
    assert number_solved(number(96.6), TICKETS, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   ",
        "I do not know.",
        "14",
        "14 * 6.90",
        "-96.6",
        "966",
        "96.6 is what I said first, but it is 90.",
        "96.6 or maybe 97.6",
        "1.5 is close to 96.9",
    ],
)
def test_wrong_or_missing_numbers_are_unsolved(answer: str) -> None:
    assert not number_solved(number(96.6), TICKETS, answer)


def test_an_unevaluated_quotient_is_not_its_value() -> None:
    assert not number_solved(number(78), "Divide 1,248 by 16.", "1248/16")
    assert number_solved(number(78), "Divide 1,248 by 16.", "1248/16 = 78")


def test_a_number_of_the_question_counts_when_it_is_the_expected_one() -> None:
    question = "Which is larger, 3 or 5?"
    assert number_solved(number(5), question, "5")
    assert number_solved(number(5), question, "Between 3 and 5 it is 5.")
    assert not number_solved(number(5), question, "3")
    assert not number_solved(number(5), question, "5 is smaller than 3")


def test_numbers_spelled_in_the_question_are_skipped_too() -> None:
    assert number_solved(number(72.8), "Six friends share 436.80.", "72.80 for each of the 6")


def test_words_count_only_when_the_answer_has_no_digits() -> None:
    assert number_solved(number(42), TICKETS, "Forty-two.")
    assert number_solved(number(42), TICKETS, "42, which is one of many")
    assert not number_solved(number(42), TICKETS, "41, not forty-two")


def test_relative_tolerance() -> None:
    assert number_solved(number(1000), TICKETS, "1000.9")
    assert not number_solved(number(1000), TICKETS, "1001.1")
    assert number_solved(number(1000, rel_tol=0.1), TICKETS, "1090")
    assert not number_solved(number(1937, rel_tol=0), TICKETS, "1938")
    assert number_solved(number(0), TICKETS, "0.0")


@pytest.mark.parametrize(
    "answer",
    ["Paris", "paris.", "It's **PARIS**!", "The capital: Paris, France", "\uff30aris"],
)
def test_a_phrase_matches_whatever_its_case_and_punctuation(answer: str) -> None:
    assert match_solved(match("Paris"), answer)


@pytest.mark.parametrize("answer", ["", "Parisian", "comparis", "Pa ris", "London"])
def test_a_phrase_matches_as_whole_words_only(answer: str) -> None:
    assert not match_solved(match("Paris"), answer)


def test_phrases_of_several_words() -> None:
    check = match("the Copper Heron", "copper-heron prize")
    assert match_solved(check, "A copper heron.")
    assert match_solved(check, "Copper\nHeron")
    assert not match_solved(check, "copper and heron")
    assert not match_solved(check, "heron copper")


def test_apostrophes_and_articles() -> None:
    assert match_solved(match("it's a dog"), "Its the dog")
    assert match_solved(match("keeper\u2019s"), "the keeper's")
    assert not match_solved(match("an"), "an")  # nothing is left to look for


def test_times_codes_and_grouped_numbers() -> None:
    assert match_solved(match("6:35"), "It leaves at 6:35am.")
    assert not match_solved(match("6:35"), "16:35")
    assert not match_solved(match("35"), "6:35")
    assert match_solved(match("B7"), "room b-7")
    assert not match_solved(match("B7"), "room B71")
    assert match_solved(match("1240"), "1,240")


def test_a_forbidden_phrase_makes_the_answer_wrong() -> None:
    check = match("negative", none_of=("positive",))
    assert match_solved(check, "Negative.")
    assert not match_solved(check, "Positive and negative.")


def test_the_word_limit_counts_normalized_words() -> None:
    check = match("cold", max_words=3)
    assert match_solved(check, "The opposite is cold.")
    assert not match_solved(check, "warm, cold, mild, cool")


def test_normalized_words() -> None:
    assert normalized_words("The Straße, an “Öl-Tank” at 9:40!") == [
        "strasse",
        "öl",
        "tank",
        "at",
        "9:40",
    ]


def test_a_call_makes_a_forbidding_task_unsolved() -> None:
    call = Step(agent="assistant", kind=StepKind.CALL, tool="calculator")
    route = Step(agent="supervisor", kind=StepKind.ROUTE, tool="language")
    observation = Step(agent="assistant", kind=StepKind.OBSERVATION, text="blue")
    forbidding = task(match("blue"), forbid_tools=True)
    assert score(forbidding, Outcome(answer="blue", steps=(route, observation)))
    assert not score(forbidding, Outcome(answer="blue", steps=(route, call)))
    assert score(task(match("blue")), Outcome(answer="blue", steps=(call,)))


def test_score_applies_the_check_of_the_task() -> None:
    assert score(task(number(96.6)), Outcome(answer="96.6"))
    assert not score(task(number(96.6)), Outcome(answer="96.7 blue"))
    assert not score(task(match("blue")), Outcome(answer=""))


@given(st.text(), st.text(min_size=1), st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_can_be_scored_and_scores_the_same_again(
    answer: str, phrase: str, value: float
) -> None:
    for check in (number(value), match(phrase, none_of=(answer,), max_words=5)):
        assert score(task(check), Outcome(answer=answer)) is score(
            task(check), Outcome(answer=answer)
        )


@given(st.text())
def test_any_answer_matches_itself_unless_nothing_is_left(answer: str) -> None:
    assert match_solved(match(answer), answer) is bool(normalized_words(answer))

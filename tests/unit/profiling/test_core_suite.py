"""The shipped core suite: what it promises to measure, checked without a model."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator

import pytest

from edgeagent.agent.numbers import numbers_in
from edgeagent.config.suite import Category, MatchCheck, NumberCheck, TaskSpec
from edgeagent.config.suites import Suite, document_files, load_suite
from edgeagent.profiling.checks import score
from edgeagent.profiling.checks.phrases import normalized_words
from edgeagent.record.outcome import Outcome

SUITE = load_suite("core")
TASKS = SUITE.spec.task
DOCUMENT_CATEGORIES = (Category.LOOKUP, Category.LOOKUP_COMPUTE)

OPERANDS = {
    "ferry-tickets": (6.85,),
    "campsite-nights": (23.5,),
    "cargo-bike": (7.4,),
    "chess-fees": (38,),
    "rye-flour": (385,),
    "honey-jars": (340,),
    "car-travel": (0.42,),
    "tram-seats": (64,),
}
"""What each lookup-then-compute task must find; the rest is in its question."""

ARITHMETIC = {
    "pencils": 144 * 37,
    "ticket-sales": 268 * 17,
    "clothes": 84.50 + 19.95 + 23.75,
    "percent": 0.15 * 1340,
    "egg-boxes": 4536 / 12,
    "truck": 73 * 14,
    "discount": 260 * 0.65,
    "books": 8412 + 679 - 1354,
    "pump": 385 * 46,
    "bill": 436.80 / 6,
    "seats": 24 * 38 - 157,
    "rent": 945 * 18,
}


def tasks_of(*categories: Category) -> list[TaskSpec]:
    return [task for task in TASKS if task.category in categories]


def ids(tasks: list[TaskSpec]) -> list[str]:
    return [task.id for task in tasks]


def canonical_answers(task: TaskSpec) -> Iterator[str]:
    if isinstance(task.check, NumberCheck):
        yield f"{task.check.value:g}" if task.check.value < 1e5 else str(task.check.value)
        yield f"The answer is **{task.check.value:,.2f}**."
    else:
        yield from task.check.any_of


def states(text: str, task: TaskSpec) -> bool:
    if isinstance(task.check, NumberCheck):
        return task.check.value in numbers_in(text)
    words = f" {' '.join(normalized_words(text))} "
    return any(f" {' '.join(normalized_words(phrase))} " in words for phrase in task.check.any_of)


def sections(suite: Suite) -> Iterator[tuple[str, str]]:
    """Yield every paragraph and, apart from it, the title of its document."""
    assert suite.documents_dir is not None
    for file in document_files(suite.documents_dir):
        title, *paragraphs = file.read_text(encoding="utf-8").split("\n\n")
        yield from ((title, text) for text in paragraphs if not text.startswith("#"))


@pytest.fixture(scope="module", params=["paragraph", "title and paragraph"])
def index(request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(body, tokenize = 'porter unicode61')")
    for title, text in sections(SUITE):
        body = text if request.param == "paragraph" else f"{title}\n{text}"
        connection.execute("INSERT INTO t VALUES (?)", (body,))
    yield connection
    connection.close()


def best_section(index: sqlite3.Connection, question: str) -> str:
    query = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", question))
    row = index.execute("SELECT body FROM t WHERE t MATCH ? ORDER BY rank LIMIT 1", (query,))
    return str(row.fetchone()[0])


def test_tasks_per_category() -> None:
    assert Counter(task.category for task in TASKS) == {
        Category.ARITHMETIC: 12,
        Category.LOOKUP: 12,
        Category.LOOKUP_COMPUTE: 8,
        Category.LANGUAGE: 9,
        Category.NO_TOOL: 7,
    }


@pytest.mark.parametrize("task", TASKS, ids=ids(list(TASKS)))
def test_a_check_accepts_its_own_answers_and_no_other_tasks(task: TaskSpec) -> None:
    for answer in canonical_answers(task):
        assert score(task, Outcome(answer=answer)), answer
    assert not score(task, Outcome(answer=""))
    assert not score(task, Outcome(answer="I do not know."))
    for other in TASKS:
        if other.id != task.id:
            for answer in canonical_answers(other):
                assert not score(task, Outcome(answer=answer)), (other.id, answer)


@pytest.mark.parametrize("task", TASKS, ids=ids(list(TASKS)))
def test_a_question_is_short_and_does_not_give_its_answer_away(task: TaskSpec) -> None:
    assert len(task.question.split()) <= 25
    if task.category == Category.NO_TOOL or task.id in {"mood", "odd-one-out"}:
        return  # chosen from, or stated in, the question
    assert not score(task, Outcome(answer=task.question))
    assert not states(task.question, task)


def test_only_the_no_tool_tasks_forbid_tools() -> None:
    assert {task.category for task in TASKS if task.forbid_tools} == {Category.NO_TOOL}
    assert all(task.forbid_tools for task in tasks_of(Category.NO_TOOL))


@pytest.mark.parametrize("task", tasks_of(Category.ARITHMETIC), ids=lambda task: task.id)
def test_arithmetic_values_are_right(task: TaskSpec) -> None:
    assert isinstance(task.check, NumberCheck)
    assert task.check.value == pytest.approx(ARITHMETIC[task.id], rel=1e-12)
    assert not any(states(text, task) for _, text in sections(SUITE))


def test_documents_are_short() -> None:
    assert SUITE.documents_dir is not None
    files = document_files(SUITE.documents_dir)
    lengths = {file.name: len(file.read_text(encoding="utf-8").split()) for file in files}
    assert len(files) == 20
    assert {name: n for name, n in lengths.items() if not 60 <= n <= 150} == {}


@pytest.mark.parametrize("task", tasks_of(Category.LOOKUP), ids=lambda task: task.id)
def test_a_lookup_is_answered_by_one_section_ranked_first(
    task: TaskSpec, index: sqlite3.Connection
) -> None:
    assert states(best_section(index, task.question), task)
    assert sum(states(text, task) for _, text in sections(SUITE)) == 1


@pytest.mark.parametrize("task", tasks_of(Category.LOOKUP_COMPUTE), ids=lambda task: task.id)
def test_a_lookup_to_compute_with_finds_its_operands_first(
    task: TaskSpec, index: sqlite3.Connection
) -> None:
    assert isinstance(task.check, NumberCheck)
    found = numbers_in(best_section(index, task.question))
    (operand,) = OPERANDS[task.id]
    assert operand in found
    (asked,) = numbers_in(task.question)
    assert task.check.value == pytest.approx(asked * operand, rel=1e-12)
    assert not any(states(text, task) for _, text in sections(SUITE))


@pytest.mark.parametrize("task", tasks_of(*DOCUMENT_CATEGORIES), ids=lambda task: task.id)
def test_copying_a_whole_document_is_not_an_answer(task: TaskSpec) -> None:
    assert SUITE.documents_dir is not None
    for file in document_files(SUITE.documents_dir):
        text = file.read_text(encoding="utf-8")
        assert not score(task, Outcome(answer=text)) or isinstance(task.check, NumberCheck)


ANSWERS = {
    # Phrasings that small models gave, with what a careful reader makes of them.
    "opposite": [("The opposite of hot is cold.", True), ("The opposite of hot is warm.", False)],
    "proverb": [
        ('The proverb is "The early bird catches the worm."', True),
        ("The early bird catches the hawk.", False),
    ],
    "mood": [
        ("This sentence is not happy.", True),
        ("This sentence is not happy but sad.", True),
        ("It is happy.", False),
        ("It is both happy and sad.", False),
        ("It is happy, not sad.", False),
    ],
    "plural": [('The plural of the word "child" is "children."', True), ("childs", False)],
    "synonym": [
        ('A word that means the same as "big" is "huge."', True),
        ("large", True),
        ("A word that means the same as big is big.", False),
    ],
    "odd-one-out": [
        ('The word that does not belong with the others is "hammer."', True),
        ('The word "apple" does not belong with the others.', False),
        ("apple, banana, hammer, orange", False),
    ],
    "own-name": [("My name is Dorian.", True), ("My name is Elara.", False)],
    "cat": [("The cat sleeps on the sofa for 14 hours.", True), ("14 hours", False)],
    "meeting-room": [("The meeting starts at 3 pm in room 12.", True), ("Room 3", False)],
    "beach-bus": [
        ("Bus 17 goes to the beach.", True),
        ("Bus 17. Bus 42 goes to the market.", True),
        ("Bus 42 goes to the beach.", False),
        ("Bus 42 and bus 17", False),
        ("Bus 42 goes to the beach, bus 17 goes to the market.", False),
    ],
    "keys": [("The keys are under the blue pot.", True), ("The keys are blue.", False)],
    "thanks": [("You're welcome! I'm glad I could help.", True), ("Thank you.", False)],
    "unwell": [
        ("I'm sorry to hear that you're feeling this way.", True),
        ("I'm sorry, I cannot answer that.", False),
        ("I have a cold and feel bad today.", False),
    ],
    "error-code": [
        ("Error E47 means that the air filter is blocked.", True),
        ("The sensor is broken.", False),
    ],
    "first-ferry": [("The first ferry leaves at 6:35 am.", True), ("10:00 AM", False)],
    "ferry-tickets": [
        ("14 adult tickets cost 95.90 crowns.", True),
        ("95.9", True),
        ("6.85 crowns", False),
        ("14 * 6.85", False),
    ],
    "egg-boxes": [("4,536 / 12 = 378 boxes", True), ("4536/12", False), ("378.5", False)],
}


@pytest.mark.parametrize(
    ("task_id", "answer", "solved"),
    [(task_id, *case) for task_id, cases in ANSWERS.items() for case in cases],
)
def test_phrasings_of_real_answers(task_id: str, answer: str, solved: bool) -> None:
    (task,) = [task for task in TASKS if task.id == task_id]
    assert score(task, Outcome(answer=answer)) is solved


def test_match_checks_of_lookups_limit_the_length() -> None:
    checks = [task.check for task in tasks_of(Category.LOOKUP)]
    assert all(check.max_words == 40 for check in checks if isinstance(check, MatchCheck))

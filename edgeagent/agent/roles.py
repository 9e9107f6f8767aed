"""The built-in roles: instructions, tools and worked examples.

Each format writes the examples in its own way. They use people, places and numbers of their own,
none from any shipped suite.
"""

from __future__ import annotations

from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.loop import Role


def _calculated(question: str, expression: str, result: str) -> Example:
    return Example(
        question,
        (Turn(calls=(Call("calculator", {"expression": expression}),)), Turn(answer=result)),
        (result,),
    )


def _looked_up(question: str, query: str, text: str, answer: str) -> Example:
    return Example(
        question, (Turn(calls=(Call("search", {"query": query}),)), Turn(answer=answer)), (text,)
    )


def _looked_up_and_calculated(
    question: str, query: str, text: str, expression: str, result: str
) -> Example:
    return Example(
        question,
        (
            Turn(calls=(Call("search", {"query": query}),)),
            Turn(calls=(Call("calculator", {"expression": expression}),)),
            Turn(answer=result),
        ),
        (text, result),
    )


def _direct(question: str, answer: str) -> Example:
    return Example(question, (Turn(answer=answer),))


def _delegated(example: Example, *reports: tuple[str, str]) -> Example:
    """Return the supervisor's view of an example: specialists and their reports."""
    asks = [Turn(calls=(Call("ask", {"specialist": specialist}),)) for specialist, _ in reports]
    texts = tuple(report for _, report in reports)
    return Example(example.question, (*asks, Turn(answer=texts[-1])), texts)


def _known(example: Example, report: str) -> Example:
    """Return the last step of an example as a specialist sees it who got another one's report."""
    return Example(
        f"{example.question}\nKnown: {report}", example.turns[-2:], example.observations[-1:]
    )


_MULTIPLY = _calculated(
    "A crate holds 64 apples. How many apples are in 29 crates?", "64 * 29", "1856"
)
_ADD = _calculated(
    "A lamp costs 34.20 dollars, a chair 58.75 dollars and a mat 12.40 dollars. What do they cost "
    "together?",
    "34.20 + 58.75 + 12.40",
    "105.35",
)
_MIXED = _calculated(
    "A shop had 2,310 bottles. It bought 450 more and sold 875. How many are left?",
    "2310 + 450 - 875",
    "1885",
)
_DISCOUNT = _calculated(
    "A phone costs 480 dollars. Its price is cut by 20%. What is the new price?",
    "480 - 20%",
    "384",
)
_PERCENT = _calculated("What is 30% of 2,150?", "30% of 2150", "645")
_DIVIDE = _calculated(
    "Four workers share 1,150 dollars equally. How much does each get?", "1150 / 4", "287.5"
)
_ROWS = _calculated(
    "A field has 18 rows of 45 trees. 96 trees are dead. How many are alive?",
    "18 * 45 - 96",
    "714",
)

_FOUNDER = _looked_up(
    "Who founded the Tern Bay sailing school?",
    "founded Tern Bay sailing school",
    "[Tern Bay sailing school] The school has nine boats. It was founded by Orla Fenn in spring.",
    "It was founded by Orla Fenn in spring.",
)
_LAKE = _looked_up(
    "How deep is Lake Morvane?",
    "deep Lake Morvane",
    "[Lake Morvane] The lake lies in the hills near Aldbrook. It is 83 metres deep.",
    "It is 83 metres deep.",
)
_LAMP = _looked_up(
    "What does the yellow light on the Orbis R2 radio mean?",
    "yellow light Orbis R2 radio",
    "[Orbis R2 radio - Lights] The yellow light means that the clock is not set. A green light "
    "means that the radio is on.",
    "The yellow light means that the clock is not set.",
)
_COURSES = _looked_up_and_calculated(
    "How many crowns do 12 courses at the Tern Bay sailing school cost?",
    "courses Tern Bay sailing school cost",
    "[Tern Bay sailing school - Courses] A course costs 45 crowns. It takes 6 days.",
    "12 * 45",
    "540",
)
_CHEESE = _looked_up_and_calculated(
    "How many grams of salt does the Dalby Dairy need for 35 cheeses?",
    "grams salt Dalby Dairy need cheeses",
    "[Dalby Dairy - Cheese] Each cheese needs 18 grams of salt. It ripens for 40 days.",
    "35 * 18",
    "630",
)

_OPPOSITE = _direct("What is the opposite of early?", "The opposite of early is late.")
_SHELF = _direct(
    'Read this: "Anna put the red cup on shelf 5." Where is the cup?', "The cup is on shelf 5."
)
SINGLE = Role(
    name="agent",
    instructions=(
        "You are a helpful assistant with tools. For a calculation, use the calculator. For a "
        "fact about a certain person, place, company or product, use search. Otherwise answer "
        "directly, without a tool. Keep answers short."
    ),
    tools=("calculator", "search", "*"),
    # Mostly tools, and those last, because what stands last weighs most: where no tool has
    # anything to work on there is nothing to decide.
    examples=(
        _OPPOSITE,
        _SHELF,
        _DISCOUNT,
        _FOUNDER,
        _DIVIDE,
        _MIXED,
        _COURSES,
        _LAMP,
        _ROWS,
        _CHEESE,
    ),
)

QUANTITATIVE = Role(
    name="quantitative",
    instructions="You compute. Use the calculator, then answer with the number.",
    tools=("calculator", "dates", "python"),
    examples=(
        _ADD,
        _DISCOUNT,
        _DIVIDE,
        _known(_COURSES, "A course costs 45 crowns."),
        _MIXED,
        _PERCENT,
        _ROWS,
        _known(_CHEESE, "Each cheese needs 18 grams of salt."),
        _MULTIPLY,
    ),
    must_call_first=True,
)

KNOWLEDGE = Role(
    name="knowledge",
    instructions=(
        "You look facts up. Search the documents, then answer in one short sentence with what "
        "they say."
    ),
    tools=("search", "read_file", "list_files", "sql", "*"),
    examples=(
        _FOUNDER,
        _LAKE,
        _LAMP,
        _looked_up(
            _COURSES.question,
            "courses Tern Bay sailing school cost",
            _COURSES.observations[0],
            "A course costs 45 crowns.",
        ),
    ),
    must_call_first=True,
)

LANGUAGE = Role(
    name="language",
    instructions="You are a helpful assistant. Answer in one short sentence.",
)

SPECIALISTS = (QUANTITATIVE, KNOWLEDGE, LANGUAGE)

SUPERVISOR = Role(
    name="supervisor",
    instructions=(
        "You lead three specialists and have no tools of your own: quantitative computes, "
        "knowledge searches documents for facts, language handles words and small talk. Ask the "
        "right specialist, then answer with what was reported. Keep answers short."
    ),
    examples=(
        _delegated(_OPPOSITE, ("language", "The opposite of early is late.")),
        _delegated(_SHELF, ("language", "The cup is on shelf 5.")),
        _delegated(_DISCOUNT, ("quantitative", "384")),
        _delegated(_FOUNDER, ("knowledge", "It was founded by Orla Fenn in spring.")),
        _delegated(_COURSES, ("knowledge", "A course costs 45 crowns."), ("quantitative", "540")),
        _delegated(_ROWS, ("quantitative", "714")),
        _delegated(_LAMP, ("knowledge", "The yellow light means that the clock is not set.")),
        _delegated(
            _CHEESE, ("knowledge", "Each cheese needs 18 grams of salt."), ("quantitative", "630")
        ),
    ),
    must_call_first=True,
)

FUNCTIONS_ROLE = "functions"
"""The specialist that a task's own functions are given to."""

FUNCTION_SUPERVISOR = Role(
    name="function_supervisor",
    instructions=(
        "You lead two specialists: functions calls the functions that are named below the "
        "question, language answers in words where none of them serves. Ask the right one."
    ),
    must_call_first=True,
)

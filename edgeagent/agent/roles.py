"""The built-in roles: instructions, tools and worked examples.

The examples teach the compact format; formats that models know natively ignore them. They use
people, places and numbers of their own, none from any shipped suite.
"""

from __future__ import annotations

from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.loop import Role


def _calculate(thought: str, expression: str) -> Turn:
    return Turn(thought, call=Call("calculator", {"expression": expression}))


def _search(thought: str, query: str) -> Turn:
    return Turn(thought, call=Call("search", {"query": query}))


def _ask(thought: str, specialist: str) -> Turn:
    return Turn(thought, call=Call("ask", {"specialist": specialist}))


def _answer(thought: str, text: str) -> Turn:
    return Turn(thought, answer=text)


_MULTIPLY = Example(
    "A crate holds 64 apples. How many apples are in 29 crates?",
    (
        _calculate("I have numbers to compute: 64 times 29.", "64 * 29"),
        _answer("The result is 1856.", "1856"),
    ),
    ("1856",),
)
_SUBTRACT = Example(
    "A shop had 2,310 bottles. It bought 450 more and sold 875. How many are left?",
    (
        _calculate("I have numbers to compute: 2310 plus 450 minus 875.", "2310 + 450 - 875"),
        _answer("The result is 1885.", "1885"),
    ),
    ("1885",),
)
_PERCENT = Example(
    "A phone costs 480 dollars. Its price is cut by 20%. What is the new price?",
    (
        _calculate("I have numbers to compute: 480 minus 20 percent.", "480 - 20%"),
        _answer("The result is 384.", "384"),
    ),
    ("384",),
)
_DIVIDE = Example(
    "Four workers share 1,150 dollars equally. How much does each get?",
    (
        _calculate("I have numbers to compute: 1150 divided by 4.", "1150 / 4"),
        _answer("The result is 287.5.", "287.5"),
    ),
    ("287.5",),
)
_FACT_TEXT = (
    "[Tern Bay sailing school] The school was founded by Orla Fenn. It has nine boats and a "
    "course costs 45 crowns."
)
_FACT = Example(
    "Who founded the Tern Bay sailing school?",
    (
        _search("I must look this up: Tern Bay sailing school.", "founded Tern Bay sailing school"),
        _answer("The text says Orla Fenn founded it.", "Orla Fenn"),
    ),
    (_FACT_TEXT,),
)
_FACT_THEN_COMPUTE = Example(
    "How many crowns do 12 courses at the Tern Bay sailing school cost?",
    (
        _search(
            "I must look this up: the cost of a course.", "course cost Tern Bay sailing school"
        ),
        _calculate("A course costs 45 crowns. I compute 12 times 45.", "12 * 45"),
        _answer("The result is 540.", "540"),
    ),
    (_FACT_TEXT, "540"),
)
_WORD = Example(
    "What is the opposite of early?",
    (_answer("This is plain language. I answer directly.", "The opposite of early is late."),),
)
_GIVEN = Example(
    'Read this: "Anna put the red cup on shelf 5." Where is the cup?',
    (_answer("The question tells me. I answer directly.", "The cup is on shelf 5."),),
)
_SMALL_TALK = Example(
    "Good morning!",
    (_answer("This is small talk. I answer directly.", "Good morning! How can I help you?"),),
)

SINGLE = Role(
    name="agent",
    instructions=(
        "You are a helpful assistant with tools. For a calculation, use the calculator. For a "
        "fact about a certain person, place, company or product, use search. Otherwise answer "
        "directly, without a tool. Keep answers short."
    ),
    tools=("calculator", "search"),
    examples=(
        _MULTIPLY,
        _FACT,
        _WORD,
        _PERCENT,
        _FACT_THEN_COMPUTE,
        _GIVEN,
        _SUBTRACT,
        _SMALL_TALK,
    ),
)

QUANTITATIVE = Role(
    name="quantitative",
    instructions=(
        "You compute. Use the calculator for every calculation, then answer with the number."
    ),
    tools=("calculator",),
    examples=(_MULTIPLY, _PERCENT, _SUBTRACT, _DIVIDE),
)

KNOWLEDGE = Role(
    name="knowledge",
    instructions=(
        "You look facts up. Search the documents, then answer in one short sentence with what "
        "they say."
    ),
    tools=("search",),
    examples=(_FACT,),
)

LANGUAGE = Role(
    name="language",
    instructions="You are good with words. Answer the question in one short sentence.",
    examples=(_WORD, _GIVEN, _SMALL_TALK),
)

SPECIALISTS = (QUANTITATIVE, KNOWLEDGE, LANGUAGE)

SUPERVISOR = Role(
    name="supervisor",
    instructions=(
        "You lead three specialists and have no tools of your own: quantitative computes, "
        "knowledge searches documents for facts, language handles words and small talk. Ask the "
        "right specialist, then answer with what was reported. Keep answers short."
    ),
    tools=(),
    examples=(
        Example(
            _MULTIPLY.question,
            (_ask("There are numbers to compute.", "quantitative"), _MULTIPLY.turns[-1]),
            ("1856",),
        ),
        Example(
            _FACT.question,
            (_ask("This fact must be looked up.", "knowledge"), _FACT.turns[-1]),
            ("Orla Fenn",),
        ),
        Example(
            _WORD.question,
            (
                _ask("This is plain language.", "language"),
                _answer("The opposite is late.", "The opposite of early is late."),
            ),
            ("The opposite of early is late.",),
        ),
        Example(
            _FACT_THEN_COMPUTE.question,
            (
                _ask("This fact must be looked up.", "knowledge"),
                _ask("A course costs 45 crowns. Now there are numbers to compute.", "quantitative"),
                _answer("The result is 540.", "540"),
            ),
            ("A course costs 45 crowns.", "540"),
        ),
        Example(
            _GIVEN.question,
            (
                _ask("The question tells it. This is plain language.", "language"),
                _answer("The cup is on shelf 5.", "The cup is on shelf 5."),
            ),
            ("The cup is on shelf 5.",),
        ),
    ),
    must_call_first=True,
)

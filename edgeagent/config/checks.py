"""How the answer of a task is judged: one specification a checker.

Each is a piece of a suite file; `edgeagent.profiling.checks` applies them. All are deterministic
and look only at the answer and at the calls that were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, JsonValue, model_validator

from edgeagent.config.pattern import check_pattern
from edgeagent.config.spec import Spec

MAX_PATTERN_CHARS = 1000
"""A pattern is compiled into an automaton, whose size grows with it."""


class NumberCheck(Spec):
    """Solved if the last number of the answer that the question does not state is the expected."""

    kind: Literal["number"]
    value: float
    or_values: tuple[float, ...] = ()
    """Further right values, such as 23.4 where the value is 0.234 and percent is meant."""
    rel_tol: float = Field(default=1e-3, ge=0, lt=1)
    """Relative tolerance, to allow for rounding."""


class MatchCheck(Spec):
    """Solved if one of the expected phrases stands in the normalized answer as whole words."""

    kind: Literal["match"]
    any_of: tuple[str, ...] = Field(min_length=1)
    none_of: tuple[str, ...] = ()
    """Phrases that make the answer wrong, such as the opposite label of a classification."""
    max_words: int | None = Field(default=None, ge=1)
    """Answers with more words are wrong: naming every candidate is not answering."""


class ExactCheck(Spec):
    """Solved if the whole answer is one of the expected."""

    kind: Literal["exact"]
    any_of: tuple[str, ...] = Field(min_length=1)
    normalize: bool = True
    """Whether case, punctuation and articles are ignored; blanks at the ends always are."""


class ChoiceCheck(Spec):
    """Solved if the answer names the expected label and no other, as in a classification."""

    kind: Literal["choice"]
    labels: tuple[str, ...] = Field(min_length=2)
    """All labels; one that contains another ("very good", "good") does not name it."""
    value: str
    """The expected one of `labels`."""
    synonyms: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Further words for a label."""

    @model_validator(mode="after")
    def _labels_fit(self) -> ChoiceCheck:
        known = set(self.labels)
        if len(known) < len(self.labels):
            raise ValueError("a label is named twice")
        if any(not any(map(str.isalnum, word)) for word in self.wordings()):
            raise ValueError("a label needs a letter or digit")
        if unknown := sorted({self.value, *self.synonyms} - known):
            raise ValueError(f"{unknown[0]!r} is none of the labels")
        return self

    def wordings(self) -> dict[str, str]:
        """Return every way to name a label, and the label."""
        found = {label: label for label in self.labels}
        for label, words in self.synonyms.items():
            found |= dict.fromkeys(words, label)
        return found


class RegexCheck(Spec):
    """Solved if the pattern is found in the answer.

    Patterns are matched in time linear in the answer, whatever the pattern: so there are no
    references back and no looking around, word boundaries included; `^` and `$` only at the ends.
    """

    kind: Literal["regex"]
    pattern: str = Field(min_length=1, max_length=MAX_PATTERN_CHARS)
    ignore_case: bool = False

    @model_validator(mode="after")
    def _pattern_is_valid(self) -> RegexCheck:
        check_pattern(self.pattern)
        return self


class JsonCheck(Spec):
    """Solved if the first JSON value of the answer is the expected one."""

    kind: Literal["json"]
    value: JsonValue
    extra_keys: bool = False
    """Whether objects may have keys that are not expected."""
    any_order: bool = False
    """Whether the order of arrays does not matter, as for a list of names."""
    ignore_case: bool = True
    """Whether texts are compared without regard to case."""
    rel_tol: float = Field(default=1e-6, ge=0, lt=1)
    """Relative tolerance of numbers."""


class ExpectedCall(Spec):
    """One call that has to be made."""

    name: str = Field(min_length=1)
    arguments: dict[str, tuple[JsonValue, ...]] = Field(default_factory=dict)
    """Per argument its accepted values. A single value that is no array may be written alone."""
    optional: tuple[str, ...] = ()
    """Arguments that may be left out."""

    @model_validator(mode="before")
    @classmethod
    def _single_values_are_lists(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("arguments"), Mapping):
            arguments = {
                name: list(value)
                if isinstance(value, Sequence) and not isinstance(value, str)
                else [value]
                for name, value in data["arguments"].items()
            }
            return {**data, "arguments": arguments}
        return data

    @model_validator(mode="after")
    def _optional_arguments_are_known(self) -> ExpectedCall:
        if unknown := sorted(set(self.optional) - set(self.arguments)):
            raise ValueError(f"optional: {unknown[0]!r} is none of the arguments")
        return self


class CallsCheck(Spec):
    """Solved if exactly the expected calls were made; without any, if no call was made."""

    kind: Literal["calls"]
    calls: tuple[ExpectedCall, ...] = Field(max_length=32)
    in_order: bool = False
    """Whether they have to be made in this order."""


class SourcedCheck(Spec):
    """Solved if an expected phrase is answered, as in `match`, and its document was read for it."""

    kind: Literal["sourced"]
    any_of: tuple[str, ...] = Field(min_length=1)
    none_of: tuple[str, ...] = ()
    max_words: int | None = Field(default=None, ge=1)
    sources: tuple[str, ...] = Field(min_length=1)
    """Documents of the suite; one of them has to be among the sources of the answer."""


class RefusesCheck(Spec):
    """Solved if the answer says that there is none, and states no figure of its own.

    For questions that cannot be answered with what is at hand: whatever sounds like an answer was
    made up.
    """

    kind: Literal["refuses"]
    any_of: tuple[str, ...] = ()
    """Further phrases that say so, such as "has no entrance" where that is the honest answer."""
    none_of: tuple[str, ...] = ()
    """Phrases that make the answer wrong."""


class BfclCheck(Spec):
    """Solved if the checker of the Berkeley function-calling leaderboard says so.

    Written by `--suite bfcl:...`; needs the wheel `bfcl-eval` to be applied.
    """

    kind: Literal["bfcl"]
    category: str
    """The benchmark's name of the category, which decides how calls are compared."""
    functions: tuple[dict[str, JsonValue], ...]
    """The function descriptions as the benchmark has them, with its own names of types."""
    ground_truth: tuple[dict[str, JsonValue], ...] = ()
    """The possible answers; none where only the presence of a call counts."""


Check: TypeAlias = Annotated[
    NumberCheck
    | MatchCheck
    | ExactCheck
    | ChoiceCheck
    | RegexCheck
    | JsonCheck
    | CallsCheck
    | SourcedCheck
    | RefusesCheck
    | BfclCheck,
    Field(discriminator="kind"),
]


def check_of(answer: object) -> dict[str, object]:
    """Return the check that a bare `answer` in a task stands for.

    A number is compared as a number, `true` and `false` as yes and no, a text or one of several
    texts as a phrase.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(answer, bool):
        value = "yes" if answer else "no"
        return {
            "kind": "choice",
            "labels": ["yes", "no"],
            "value": value,
            "synonyms": {"yes": ["true"], "no": ["false"]},
        }
    if isinstance(answer, int | float):
        return {"kind": "number", "value": answer}
    phrases = [answer] if isinstance(answer, str) else answer
    if (
        isinstance(phrases, list)
        and phrases
        and all(isinstance(text, str) and text.strip() for text in phrases)
    ):
        return {"kind": "match", "any_of": phrases}
    raise ValueError("an answer is a number, true, false, a text or several texts")

"""The piece of work that settings are judged by, for each goal.

It is the same for all settings, down to the tokens of the answers, so its cost alone compares them:

- *latency*: seconds of an agent's turn. 32 new tokens (a question, a tool's result) three times out
  of four, 256 (a passage that was found) once; then 24 tokens of answer. In profiles of the core
  suite a turn has 30 new tokens and 12 to 26 generated ones in the median.
- *throughput*: seconds of a long job, 512 tokens in and 128 out, shown as tokens per second.
- *energy*: joules of a latency turn's pieces, run as a whole.

Half of an answer's weight is on one that copies its prompt, as quotes and edits do, half on free
text: guessing tokens gains on the first and costs on the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgeagent.agent.chat.template import ChatTemplate
from edgeagent.config.tuned import Goal
from edgeagent.errors import EngineError
from edgeagent.record.bench import Cell, Reading

_NOTE = (
    "The keeper of the Ormsby windmill is Tilda Fardel. The mill grinds barley on Mondays and rye "
    "on Thursdays; in winter it stands still when the wind comes from the north. A sack of flour "
    "costs 14 crowns, and whoever brings back the sack gets 2 of them. The road to the mill is "
    "closed from December to March, so flour for the winter is carried down in November."
)
COPYING, FREE = "copying", "free text"
QUESTIONS = {
    COPYING: f"Repeat this text word for word:\n\n{_NOTE}",
    FREE: "Tell a short story about a lighthouse keeper and a lost dog.",
}
ANSWER_WEIGHTS = {COPYING: 0.5, FREE: 0.5}

Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Job:
    """What is weighed for a goal.

    Attributes:
        prefills: Tokens of a prefill and its weight.
        answer_len: Tokens of an answer that count.
        measured_len: Tokens of each answer that are generated.
    """

    prefills: tuple[tuple[int, float], ...]
    answer_len: int
    measured_len: int


_TURN = Job(prefills=((32, 0.75), (256, 0.25)), answer_len=24, measured_len=24)
JOBS: Mapping[Goal, Job] = {
    "latency": _TURN,
    "throughput": Job(prefills=((512, 1.0),), answer_len=128, measured_len=48),
    "energy": _TURN,
}


@dataclass(frozen=True)
class Work:
    """A job for one package.

    Attributes:
        job: What is weighed.
        cells: What is measured, by name.
    """

    job: Job
    cells: Mapping[str, Cell]

    def cost_s(self, readings: Mapping[str, Reading]) -> float:
        """Return the weighted seconds.

        Raises:
            EngineError: The model ended its turn at once on every prompt.
        """
        parts = self.parts_s(readings)
        prefill_s = sum(
            weight * parts[_prefill_name(self.cells, index)]
            for index, (_, weight) in enumerate(self.job.prefills)
        )
        answers = {name: parts[name] for name in ANSWER_WEIGHTS if name in parts}
        if not answers:
            raise EngineError(
                "The model ends its turn at once on every prompt, so its answers cannot be timed; "
                "tune a model that answers."
            )
        weight_of_all = sum(ANSWER_WEIGHTS[name] for name in answers)
        per_token_s = sum(ANSWER_WEIGHTS[name] * s for name, s in answers.items()) / weight_of_all
        return prefill_s + self.job.answer_len * per_token_s

    def parts_s(self, readings: Mapping[str, Reading]) -> dict[str, float]:
        """Return seconds of each prefill, and seconds per token of each answer with tokens."""
        parts: dict[str, float] = {}
        for name, reading in readings.items():
            if self.cells[name].kind == "prefill":
                parts[name] = (reading.t1_ns - reading.t0_ns) / 1e9
            elif len(reading.step_ns) > 1:
                # The first token comes from the prompt's logits: nothing is run for it.
                parts[name] = sum(reading.step_ns[1:]) / 1e9 / (len(reading.step_ns) - 1)
        return parts

    @property
    def tokens(self) -> float:
        """Tokens that a job counts, in and out."""
        return sum(length * weight for length, weight in self.job.prefills) + self.job.answer_len

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of the answers, which all settings must give alike."""
        return tuple(name for name, cell in self.cells.items() if cell.kind == "text")

    @property
    def longest_prompt(self) -> int:
        """Tokens of the longest prefill that is timed."""
        return max(cell.tokens for cell in self.cells.values() if cell.kind == "prefill")

    @property
    def description(self) -> str:
        """The job and its weights in words."""
        prefills = " or ".join(
            f"{self.cells[_prefill_name(self.cells, index)].tokens} (weight {weight:g})"
            for index, (_, weight) in enumerate(self.job.prefills)
        )
        answers = ", ".join(f"{name} {weight:g}" for name, weight in ANSWER_WEIGHTS.items())
        return f"prefill of {prefills} tokens, then {self.job.answer_len} of answer ({answers})"


def make_work(goal: Goal, *, context_len: int, template: ChatTemplate, encode: Encode) -> Work:
    """Return the work for a package; what does not fit its context is shortened.

    Args:
        goal: What is to become better.
        context_len: Tokens of the KV cache.
        template: The package's own, with the tokens that it names.
        encode: Its tokenizer.

    Raises:
        EngineError: The chat template failed.
    """
    job = JOBS[goal]
    cells: dict[str, Cell] = {}
    for length, _ in job.prefills:
        # Two may be shortened to the same length; they keep names of their own.
        fitting = max(1, min(length, context_len - 1))
        cells[f"prefill of {length}"] = Cell(kind="prefill", tokens=fitting)
    for name in ANSWER_WEIGHTS:
        text = template.render([{"role": "user", "content": QUESTIONS[name]}])
        prompt = tuple(encode(text))[-max(1, context_len - job.measured_len - 1) :]
        tokens = max(1, min(job.measured_len, context_len - len(prompt) - 1))
        cells[name] = Cell(kind="text", tokens=tokens, prompt=prompt)
    return Work(job, cells)


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Return how many tokens two answers have in common, `None` if they are equal."""
    if tuple(one) == tuple(other):
        return None
    pairs = zip(one, other, strict=False)
    shorter = min(len(one), len(other))
    return next((at for at, (a, b) in enumerate(pairs) if a != b), shorter)


def _prefill_name(cells: Mapping[str, Cell], index: int) -> str:
    return [name for name, cell in cells.items() if cell.kind == "prefill"][index]

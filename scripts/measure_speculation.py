"""Measure what n-gram speculation gains on this machine, on answers that copy and that do not.

    .venv/bin/python scripts/measure_speculation.py PACKAGE... [--ngram N] [--draft N] [--rounds N]

The package is loaded with and without speculation; both continue the same prompts greedily and
take turns. Each round gives one ratio of speeds per prompt, with / without; medians and quartiles
are the result, with the share of guessed tokens that were right and how many tokens both have in
common: one run of several rows is rounded otherwise than several runs of one, so where two tokens
are nearly equally likely the answers may part, which is no error of either.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeagent.engine.genai import GenaiEngine

_CODE = '''def total(orders):
    """Sum of the prices of all orders that were paid."""
    result = 0
    for order in orders:
        if order.paid:
            result += order.price
    return result
'''
_PASSAGE = (
    "The keeper of the Ormsby windmill is Tilda Fardel. The mill grinds barley on Mondays and "
    "rye on Thursdays; in winter it stands still when the wind comes from the north."
)
PROMPTS = {
    "code with one change": f"Rewrite this function, renaming `orders` to `sales`:\n\n{_CODE}",
    "a quoted passage": f"Repeat this text word for word:\n\n{_PASSAGE}",
    "an explanation": "Explain in a few sentences why the sky is blue.",
    "a story": "Tell a short story about a lighthouse keeper and a lost dog.",
}
_CONTEXT_LEN = 512


class Answer:
    """One answer and how long it took to generate."""

    def __init__(self, engine: GenaiEngine, prompt: str, count: int, clock: Callable[[], float]):
        """Prefill, then decode on the clock."""
        from edgeagent.engine.protocol import DecodeParams

        session = engine.open(_CONTEXT_LEN)
        session.append(engine.encode(prompt))
        began = clock()
        events = list(session.decode(DecodeParams(max_new_tokens=count)))
        elapsed_s = clock() - began
        session.close()
        self.ids = [event.token_id for event in events]
        self.tok_per_s = len(events) / elapsed_s
        self.drafted = sum(event.drafted for event in events)
        self.accepted = sum(event.accepted for event in events)


def as_chat(question: str) -> str:
    """The question in ChatML, which the models that edgeagent ships recipes for were tuned on."""
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def row(name: str, plain: Sequence[Answer], guessing: Sequence[Answer]) -> str:
    """A line of the table; answers of one engine to one prompt are all the same."""
    ratios = [
        ours.tok_per_s / theirs.tok_per_s for theirs, ours in zip(plain, guessing, strict=True)
    ]
    low, median, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    )
    one, other = plain[0], guessing[0]
    pairs = zip(one.ids, other.ids, strict=False)
    same = next((at for at, (a, b) in enumerate(pairs) if a != b), len(one.ids))
    right = f"{other.accepted} of {other.drafted}"
    return (
        f"| {name} | {median:.2f} ({low:.2f} to {high:.2f}) | {right} | {same} of {len(one.ids)} |"
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="measure_speculation.py", description="Measure what n-gram speculation gains."
    )
    add = parser.add_argument
    add("packages", type=Path, nargs="+", metavar="PACKAGE")
    add("--ngram", type=int, default=3, metavar="N", help="tokens to look up, default 3")
    add("--draft", type=int, default=8, metavar="N", help="most tokens guessed, default 8")
    add("--generate", type=int, default=96, metavar="N", help="tokens an answer, default 96")
    add("--rounds", type=int, default=5, metavar="N", help="default 5")
    add("--threads", type=int, metavar="N", help="default: physical cores")
    add("--processor-time", action="store_true", help="on one thread, for a machine in use")
    options = parser.parse_args()
    try:
        from edgeagent.config.run import EngineConfig, NGramSpeculation
        from edgeagent.engine.genai import GenaiEngine
        from edgeagent.errors import EdgeAgentError
    except ImportError:
        sys.exit(f"error: {sys.executable} has no edgeagent; use the Python of .venv")
    clock = time.process_time if options.processor_time else time.perf_counter
    config = EngineConfig(intra_op_num_threads=1 if options.processor_time else options.threads)
    guess = NGramSpeculation(ngram_len=options.ngram, max_draft_len=options.draft)
    print("| package, answer | speed with / without | right guesses | same tokens |")
    print("| --- | --- | --- | --- |")
    try:
        for package in options.packages:
            plain = GenaiEngine(package, config)
            guessing = GenaiEngine(package, config.model_copy(update={"speculation": guess}))
            for name, question in PROMPTS.items():
                prompt = as_chat(question)
                answers: dict[bool, list[Answer]] = {False: [], True: []}
                for index in range(-1, options.rounds):  # round -1 warms up
                    for guesses in (False, True) if index % 2 else (True, False):
                        engine = guessing if guesses else plain
                        answer = Answer(engine, prompt, options.generate, clock)
                        if index >= 0:
                            answers[guesses].append(answer)
                print(row(f"{package.name}, {name}", answers[False], answers[True]), flush=True)
    except EdgeAgentError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

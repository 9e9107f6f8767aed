"""How many calls of a model cannot be read? Counted over many sampled ones.

Takes questions of the Berkeley function-calling leaderboard, makes the model call one of each
question's functions, and samples several calls of each at temperature 1: far more odd ones than a
greedy model would write. A call is invalid if the format cannot read it, if it names a function
that is not there, or if it was cut off.

    python scripts/count_invalid_calls.py qwen2.5-coder-0.5b-instruct --calls 1000

Needs `pip install --no-deps bfcl-eval`.
"""

from __future__ import annotations

import argparse
import sys

from edgeagent.agent.chat.template import ChatTemplate
from edgeagent.agent.formats import tool_format
from edgeagent.agent.formats.protocol import TurnRules
from edgeagent.agent.functions import INSTRUCTIONS, Function
from edgeagent.engine.protocol import DecodeParams, Engine, Session
from edgeagent.errors import EdgeAgentError
from edgeagent.export.resolve import ensure_package
from edgeagent.profiling.engine_for import engine_config_for
from edgeagent.profiling.suites import open_suite
from edgeagent.profiling.workbench import load_engine

SAMPLES = 8
"""Calls of each question; they share its prefill."""
MAX_NEW_TOKENS = 512
CONTEXT_LEN = 4096


def main(arguments: list[str] | None = None) -> int:
    """Count and print; exit status 1 if any call is invalid."""
    parser = argparse.ArgumentParser(description="Count the calls that cannot be read.")
    parser.add_argument("model", help="a recipe's id, a GGUF file or a package folder")
    parser.add_argument("--calls", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--format", help="tool-call format (default: the model's)")
    options = parser.parse_args(arguments)
    try:
        package = ensure_package(options.model)
        questions = -(-options.calls // SAMPLES)
        suite = open_suite(f"bfcl:simple_python@{questions // 2 + 1},multiple@{questions // 2 + 1}")
        engine = load_engine(package.folder, engine_config_for(package).config)
    except EdgeAgentError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    name = options.format or package.manifest.tool_call_format
    made, invalid = 0, []
    try:
        session = engine.open(CONTEXT_LEN)
        for task in suite.spec.task:
            functions = [Function(one) for one in task.function_descriptions()]
            for text, reason in _calls(engine, session, name, functions, task.prompt()):
                made += 1
                if reason:
                    invalid.append(f"{task.id}: {reason}: {text!r}")
            print(f"{made} calls, {len(invalid)} invalid", file=sys.stderr)
            if made >= options.calls:
                break
        session.close()
    finally:
        engine.close()
    for line in invalid:
        print(line)
    print(f"{package.manifest.model_id}, format {name}: {len(invalid)} of {made} calls invalid")
    return 1 if invalid else 0


def _calls(
    engine: Engine, session: Session, name: str, functions: list[Function], question: str
) -> list[tuple[str, str]]:
    """Return sampled calls, each with the reason why it is invalid, empty if it is not."""
    text_format = tool_format(name)
    template = ChatTemplate(engine.chat_template, engine.chat_tokens)
    prefix = text_format.prefix(INSTRUCTIONS, functions, ())
    messages = [*prefix.messages, text_format.question(question)]
    prompt = engine.encode(template.render(messages, prefix.tools, variables=prefix.variables))
    if len(prompt) + MAX_NEW_TOKENS > session.max_context_len:
        return []
    grammar = text_format.grammar(TurnRules(tuple(functions), may_answer=False))
    found = []
    for seed in range(SAMPLES):
        session.rewind(max(0, min(len(session.tokens), len(prompt) - 2)) if seed else 0)
        session.append(prompt[len(session.tokens) :])
        params = DecodeParams(MAX_NEW_TOKENS, temperature=1.0, seed=seed, grammar=grammar)
        events = list(session.decode(params))
        text = "".join(event.text for event in events)
        found.append((text, _defect(text, len(events), name, functions)))
    return found


def _defect(text: str, tokens: int, name: str, functions: list[Function]) -> str:
    if tokens >= MAX_NEW_TOKENS:
        return "cut off"
    try:
        turn = tool_format(name).parse(text)
    except ValueError as error:
        return str(error)
    known = {function.name for function in functions}
    return "" if turn.calls and all(call.tool in known for call in turn.calls) else "no call"


if __name__ == "__main__":
    sys.exit(main())

"""One side of `compare_smolagents.py`: answers questions, one line of JSON each.

Runs with an interpreter of either library; imports nothing of the other.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

CONTEXT_LEN = 8192
"""Room for smolagents' instructions, about 2,000 tokens, and five steps."""

MAX_NEW_TOKENS = 512
"""Of one step; smolagents writes thoughts and code."""

Answer = Callable[[str], dict[str, Any]]


def edgeagent_side(folder: str, threads: int, max_steps: int) -> tuple[dict[str, str], Answer]:
    """Load a package as `edgeagent profile` does, with the documents of the suite."""
    from pathlib import Path

    from edgeagent import __version__
    from edgeagent.config.package import read_package
    from edgeagent.config.run import Budget, EngineConfig
    from edgeagent.config.suites import load_suite
    from edgeagent.config.workspace import Workspace
    from edgeagent.privacy import disable_dependency_telemetry
    from edgeagent.profiling.workbench import Workbench, load_engine
    from edgeagent.record.spans import SpanKind

    disable_dependency_telemetry()
    package = read_package(Path(folder))
    bench = Workbench(
        load_engine(package.folder, EngineConfig(intra_op_num_threads=threads)),
        workspace=Workspace(documents=load_suite("core").documents_dir),
        budget=Budget(max_turns=max_steps).for_model(package.manifest.parameters),
        tool_call_format=package.manifest.tool_call_format,
    )
    bench.paradigm("single").warm_up()

    def answer(question: str) -> dict[str, Any]:
        start = time.perf_counter()
        outcome, task = bench.run("single", question)
        seconds = time.perf_counter() - start
        spans = task.recorder.trace()
        prefills = [span for span in spans if span.kind is SpanKind.PREFILL]
        return {
            "answer": outcome.answer,
            "seconds": seconds,
            "prompt_tokens": sum(span.tokens_in for span in prefills),
            "generated_tokens": sum(span.tokens_out for span in spans),
            "turns": outcome.turns,
            "error": outcome.error,
        }

    return {"edgeagent": __version__}, answer


def smolagents_side(gguf: str, threads: int, max_steps: int) -> tuple[dict[str, str], Answer]:
    """Load the GGUF with llama.cpp behind smolagents' interface for models."""
    from importlib.metadata import version

    from llama_cpp import Llama
    from smolagents import CodeAgent, LogLevel
    from smolagents.models import ChatMessage, MessageRole, Model

    llama = Llama(
        gguf, n_ctx=CONTEXT_LEN, n_threads=threads, n_threads_batch=threads, verbose=False
    )

    class LlamaModel(Model):  # type: ignore[misc]
        """Greedy completions; llama.cpp keeps the prefix that two prompts share."""

        calls = prompt_tokens = generated_tokens = 0

        def generate(
            self, messages: Any, stop_sequences: list[str] | None = None, **kwargs: Any
        ) -> Any:
            """Return the next message of the assistant."""
            known = {key: kwargs[key] for key in ("response_format",) if kwargs.get(key)}
            prepared = self._prepare_completion_kwargs(
                messages=messages,
                stop_sequences=stop_sequences,
                convert_images_to_image_urls=False,
                flatten_messages_as_text=True,
                **known,
            )
            completion = llama.create_chat_completion(
                messages=[
                    {"role": str(getattr(m["role"], "value", m["role"])), "content": m["content"]}
                    for m in prepared["messages"]
                ],
                stop=prepared.get("stop") or [],
                temperature=0.0,
                max_tokens=MAX_NEW_TOKENS,
            )
            self.calls += 1
            self.prompt_tokens += completion["usage"]["prompt_tokens"]
            self.generated_tokens += completion["usage"]["completion_tokens"]
            text = completion["choices"][0]["message"]["content"] or ""
            return ChatMessage(role=MessageRole.ASSISTANT, content=text)

    def answer(question: str) -> dict[str, Any]:
        model = LlamaModel(model_id="llama.cpp")
        agent = CodeAgent(tools=[], model=model, max_steps=max_steps, verbosity_level=LogLevel.OFF)
        start = time.perf_counter()
        error, found = "", ""
        try:
            found = str(agent.run(question))
        except Exception as problem:  # whatever stops it is its result
            error = f"{type(problem).__name__}: {problem}"[:300]
        return {
            "answer": found,
            "seconds": time.perf_counter() - start,
            "prompt_tokens": model.prompt_tokens,
            "generated_tokens": model.generated_tokens,
            "turns": model.calls,
            "error": error,
        }

    return {name: version(name) for name in ("smolagents", "llama-cpp-python")}, answer


def main() -> int:
    """Answer questions until standard input ends."""
    name, model, threads, max_steps = sys.argv[1:]
    # What libraries print must not get between the answers.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    side = {"edgeagent": edgeagent_side, "smolagents": smolagents_side}[name]
    versions, answer = side(model, int(threads), int(max_steps))
    print(json.dumps(versions), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line)["question"])), file=replies, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Profiles of benchmarks: questions reach the paradigms with their functions, calls are scored."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgeagent.config.run import Budget
from edgeagent.config.suites import Suite
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.profiling.runner import run_profile
from edgeagent.profiling.settings import ProfileSettings
from edgeagent.profiling.suites import open_suite
from edgeagent.report.load import load_run
from edgeagent.report.summary import summarize

LAMP = {
    "name": "set_light",
    "description": "Switch a light.",
    "parameters": {
        "type": "object",
        "properties": {"room": {"type": "string"}, "on": {"type": "boolean"}},
        "required": ["room", "on"],
    },
}
CALLS = [{"name": "set_light", "arguments": {"room": "kitchen", "on": False}}]


@pytest.fixture
def lamps(tmp_path: Path) -> Suite:
    rows = [
        {
            "id": f"lamp-{index}",
            "category": "calls" if index < 3 else "declines",
            "question": f"Number {index}: {'light off in the kitchen' if index < 3 else 'sing'}",
            "functions": [LAMP],
            "check": {"kind": "calls", "calls": CALLS if index < 3 else []},
        }
        for index in range(5)
    ]
    path = tmp_path / "lamps.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return open_suite(path)


def speaker(plain: str) -> object:
    """A model that calls in its own format, and says `plain` where functions are plain JSON."""

    def reply(conversation: str) -> str:
        if "sing" in conversation.rpartition("Number")[2]:
            return "I cannot sing."
        if "reply with nothing but a JSON list" in conversation:
            return plain
        return f"<tool_call>\n{json.dumps(CALLS[0])}\n</tool_call>"

    return reply


def profile(package, suite: Suite, out: Path, reply, paradigms=("base", "single")):  # type: ignore[no-untyped-def]
    manifest = package.manifest.model_copy(update={"tool_call_format": "hermes"})
    settings = ProfileSettings(
        package=dataclasses.replace(package, manifest=manifest),
        suite=suite,
        paradigms=paradigms,
        budget=Budget(max_context_len=16384, max_new_tokens=400),
        out=out,
    )
    run_profile(settings, open_engine=lambda _: ScriptedEngine(reply, context_len=16384))
    return summarize(load_run(out))


def test_functions_of_tasks_are_called_and_scored(package, lamps, tmp_path) -> None:
    summary = profile(package, lamps, tmp_path / "run", speaker(plain=json.dumps(CALLS)))
    for paradigm in summary.paradigms:
        found = {name: (one.solved, one.attempts) for name, one in paradigm.categories.items()}
        assert found == {"calls": (3, 3), "declines": (2, 2)}, paradigm.paradigm
        assert paradigm.completed_unaided_rate == 1
        assert paradigm.calls_per_task.made == 0.6
    assert summary.config.suite == "lamps@1"


def test_a_malformed_call_is_a_failure_of_the_taxonomy(package, lamps, tmp_path) -> None:
    summary = profile(package, lamps, tmp_path / "run", speaker(plain=json.dumps(CALLS)[:-4]))
    base, single = summary.paradigms
    assert base.failure_modes == {"protocol_violation": 3}
    assert base.calls_per_task.unreadable == 0.6
    assert base.completed_unaided_rate == 0.4
    assert single.failure_modes == {}
    assert single.categories["calls"].difference.mean == 1
    assert single.relative_quality.base_solved_none == ("calls",)
    assert single.composite_z == 0.5  # all of one category, none of the other


@pytest.mark.parametrize("paradigm", ["base", "single", "multi", "vote", "plan"])
def test_every_paradigm_completes_questions_of_bfcl(package, tmp_path, paradigm) -> None:
    suite = open_suite("bfcl:multiple@1,irrelevance@2")
    summary = profile(package, suite, tmp_path / "run", lambda _: "No function.", (paradigm,))
    (found,) = summary.paradigms
    assert found.completed_rate == 1
    assert found.categories["multiple"].solved == 0
    if paradigm != "multi":  # its supervisor has to ask somebody, who then says so
        assert found.categories["irrelevance"].solved == 2
        assert found.completed_unaided_rate == 1

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeagent.agent.models import Model, model_of
from edgeagent.agent.paradigms import DEFAULT_PARADIGMS, PARADIGM_NAMES
from edgeagent.agent.paradigms.base import Base
from edgeagent.agent.paradigms.catalog import Catalog
from edgeagent.agent.runtime import Runtime
from edgeagent.agent.task import TaskRun
from edgeagent.agent.tools.calculator import Calculator
from edgeagent.config.run import Budget
from edgeagent.config.team import load_team, model_path
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import ConfigError, EngineError
from edgeagent.record.outcome import FailureMode, Outcome, StepKind

ROOT = Path(__file__).resolve().parents[3]
CONTEXT_LEN = 65536
QUESTION = "What is 12 times 14?"
CALL = '<tool_call>\n{"name": "calculator", "arguments": {"expression": "12 * 14"}}\n</tool_call>'

SUPERVISOR = """
name = "analysts"
[supervisor]
instructions = "You lead the analysts."
[[role]]
name = "numbers"
does = "computes"
instructions = "You compute."
tools = ["calculator"]
must_call_first = true
[[role.example]]
question = "How much is 2 plus 2?"
calls = [{ tool = "calculator", arguments = { expression = "2 + 2" }, result = "4" }]
answer = "4"
[[role]]
name = "words"
does = "phrases answers"
instructions = "You write."
"""


def analyst(conversation: str) -> str:
    """A supervisor that asks for numbers, a specialist that computes."""
    if "168" in conversation:
        return "It is 168."
    if "You lead" in conversation:
        return '<tool_call>\n{"name": "ask", "arguments": {"specialist": "numbers"}}\n</tool_call>'
    return CALL


@pytest.fixture
def team(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / f"team{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def runtime_of(
    reply: Callable[[str], str], open_model: Callable[[str], Model] | None = None
) -> Runtime:
    adapters = {"finance": lambda _: "By the adapter."}
    return Runtime(
        ScriptedEngine(reply, context_len=CONTEXT_LEN, adapters=adapters),
        [Calculator()],
        Budget(max_context_len=CONTEXT_LEN, grounding=False),
        "hermes",
        open_model=open_model,
    )


def run(
    path: Path,
    reply: Callable[[str], str],
    open_model: Callable[[str], Model] | None = None,
    question: str = QUESTION,
) -> Outcome:
    runtime = runtime_of(reply, open_model)
    catalog = Catalog(teams=[path])
    paradigm = catalog.make(catalog.names[-1], runtime)
    paradigm.warm_up()
    outcome = paradigm.run(question, TaskRun(60))
    runtime.close()
    return outcome


def error_of(path: Path) -> str:
    def make() -> None:
        catalog = Catalog(teams=[path])
        catalog.make(catalog.names[-1], runtime_of(analyst))

    with pytest.raises(ConfigError) as caught:
        make()
    return str(caught.value)


def speakers(outcome: Outcome) -> list[str]:
    return list(dict.fromkeys(step.agent for step in outcome.steps))


def test_a_supervisor_with_specialists_of_a_file(team: Callable[[str], Path]) -> None:
    seen: list[str] = []

    def reply(conversation: str) -> str:
        seen.append(conversation)
        return analyst(conversation)

    outcome = run(team(SUPERVISOR), reply)
    assert outcome.answer == "It is 168."
    assert outcome.completed_unaided
    assert speakers(outcome) == ["supervisor", "numbers"]
    assert "You lead the analysts." in seen[0]
    assert "numbers computes, words phrases answers" in seen[0]
    assert "You compute." in seen[1]
    assert "How much is 2 plus 2?" in seen[1]


def test_a_supervisor_without_instructions_is_told_who_is_there(
    team: Callable[[str], Path],
) -> None:
    seen: list[str] = []

    def reply(conversation: str) -> str:
        seen.append(conversation)
        return analyst(conversation)

    run(team(SUPERVISOR.replace('instructions = "You lead the analysts."', "")), reply)
    assert "You lead 2 specialists" in seen[0]
    assert "numbers computes, words phrases answers" in seen[0]


def test_a_single_agent_of_a_file(team: Callable[[str], Path]) -> None:
    path = team(
        'name = "clerk"\nkind = "single"\n[[role]]\nname = "clerk"\ntools = ["*"]\n'
        'instructions = "You are the clerk."'
    )
    outcome = run(path, lambda text: "It is 168." if "168" in text else CALL)
    assert outcome.answer == "It is 168."
    assert speakers(outcome) == ["clerk"]


def test_a_plan_of_a_file(team: Callable[[str], Path]) -> None:
    path = team('name = "p"\nkind = "plan"\n[[role]]\nname = "clerk"\ntools = ["calculator"]')
    outcome = run(
        path, lambda text: "168." if "168" in text else '1. calculator {"expression": "12 * 14"}'
    )
    assert outcome.answer == "168."
    assert speakers(outcome) == ["clerk_planner", "clerk"]


def test_a_vote_of_a_file(team: Callable[[str], Path]) -> None:
    path = team('name = "v"\nkind = "vote"\nsamples = 3\n[[role]]\nname = "clerk"')
    outcome = run(path, lambda _: "It is 168.")
    assert outcome.answer == "It is 168."
    assert {"clerk 1", "clerk 2", "clerk 3"} >= set(speakers(outcome)) - {"v"}


def test_a_pipeline_hands_reports_on(team: Callable[[str], Path]) -> None:
    path = team(
        'name = "chain"\nkind = "pipeline"\n'
        '[[role]]\nname = "numbers"\ntools = ["calculator"]\ninstructions = "You compute."\n'
        '[[role]]\nname = "words"\ninstructions = "You write."'
    )
    seen: list[str] = []

    def reply(conversation: str) -> str:
        seen.append(conversation)
        if "You write." in conversation:
            return "Twelve times fourteen is 168."
        return "168" if "168" in conversation else CALL

    outcome = run(path, reply)
    assert outcome.answer == "Twelve times fourteen is 168."
    assert speakers(outcome) == ["numbers", "words"]
    assert f"{QUESTION}\nKnown: 168" in seen[-1]


def test_a_stuck_agent_of_a_pipeline_is_a_failed_delegation_with_what_was_found(
    team: Callable[[str], Path],
) -> None:
    path = team(
        'name = "chain"\nkind = "pipeline"\n'
        '[[role]]\nname = "facts"\ninstructions = "You look up."\n'
        '[[role]]\nname = "middle"\ninstructions = "You check."\n'
        '[[role]]\nname = "words"\ninstructions = "You write."'
    )

    def reply(conversation: str) -> str:
        if "You check." in conversation:
            raise EngineError("the runtime failed")
        return "A fact."

    outcome = run(path, reply)
    assert outcome.failure is FailureMode.DELEGATION_FAILURE
    assert outcome.fell_back
    assert outcome.answer == "A fact."
    assert "middle was stuck" in outcome.error


def test_roles_speak_with_models_and_adapters_of_their_own(team: Callable[[str], Path]) -> None:
    opened: list[str] = []

    def open_model(name: str) -> Model:
        opened.append(name)
        large = ScriptedEngine(lambda _: "By the large model.", context_len=CONTEXT_LEN)
        return model_of(large, "hermes", grounded=False)

    path = team(
        'name = "chain"\nkind = "pipeline"\n'
        '[[role]]\nname = "small"\nadapter = "finance"\n'
        '[[role]]\nname = "large"\nmodel = "large-model"'
    )
    outcome = run(path, lambda _: "By the run's model.", open_model)
    answers = [step.text for step in outcome.steps if step.kind is StepKind.ANSWER]
    assert answers == ["By the adapter.", "By the large model."]
    assert opened == ["large-model"]


def test_escalation_of_a_file_with_a_larger_model(team: Callable[[str], Path]) -> None:
    def open_model(name: str) -> Model:
        assert name == "large-model"
        large = ScriptedEngine(lambda _: "Orla Fenn.", context_len=CONTEXT_LEN)
        return model_of(large, "hermes", grounded=False)

    path = team(
        'name = "careful"\nkind = "escalate"\n'
        '[escalate]\nfirst = "base"\nto = "base"\nmodel = "large-model"'
    )
    outcome = run(path, lambda _: "I don't know.", open_model, "Who founded the school?")
    assert outcome.answer == "Orla Fenn."
    assert StepKind.ESCALATION in {step.kind for step in outcome.steps}


def test_paths_of_models_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"")
    file = tmp_path / "team.toml"
    assert model_path("model.gguf", file) == str((tmp_path / "model.gguf").resolve())
    assert model_path("qwen3-0.6b", file) == "qwen3-0.6b"
    assert model_path("hf:owner/repo", file) == "hf:owner/repo"
    assert model_path(None, file) is None


SINGLE = 'name = "t"\nkind = "single"\n[[role]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SUPERVISOR.replace('"words"', '"numbers"'), "the role 'numbers' is there twice"),
        (SINGLE.replace('"single"', '"swarm"'), "kind: Input should be 'single'"),
        (f'{SINGLE}tools = ["sql"]', "role 'a': there is no tool 'sql'; there are calculator"),
        (f'{SINGLE}adapter = "law"', "no adapter 'law'; it has finance"),
        (f'{SINGLE}model = "large"', "'large' cannot be loaded here"),
        (f'{SINGLE}tool = ["sql"]', "role.0.tool: there is no such key"),
        ('name = "t"\nkind = "single"', "exactly one [[role]], not 0"),
        (f'{SINGLE}[[role]]\nname = "b"', "exactly one [[role]], not 2"),
        ('name = "t"\n[[role]]\nname = "a"', "two [[role]] at least, not 1"),
        (SINGLE.replace('"t"', '"t"\nsamples = 3'), 'samples needs kind = "vote"'),
        (f"{SINGLE}[supervisor]", '[supervisor] needs kind = "supervisor"'),
        (f"{SINGLE}[escalate]", 'need kind = "escalate"'),
        (SINGLE.replace('"single"', '"escalate"'), "has no [[role]]"),
        (SINGLE.replace('"t"', '"my team"'), "name: String should match pattern"),
        (SINGLE.replace('"t"', '"single"'), "there already is a paradigm 'single'"),
        (
            'name = "t"\nkind = "escalate"\n[escalate]\nto = "fleet"',
            "escalate.to: there is no paradigm 'fleet'; choose base",
        ),
        (
            'name = "t"\nkind = "escalate"\n[escalate]\nto = "t"',
            "escalates to itself",
        ),
        (
            'name = "t"\nkind = "escalate"\n[endpoint]\nurl = "http://models.example/v1"\n'
            'model = "m"',
            "endpoint.url: only an address of this machine may be without https",
        ),
        (
            'name = "t"\nkind = "escalate"\n[endpoint]\nurl = "https://me:secret@models.example"\n'
            'model = "m"',
            "neither a password nor a query",
        ),
        (
            'name = "t"\nkind = "escalate"\n[endpoint]\nurl = "https://models.example"\n'
            'model = "m"\napi_key_env = "EDGEAGENT_NO_SUCH_KEY"',
            "EDGEAGENT_NO_SUCH_KEY is not set",
        ),
        ("name = ", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_file_key_and_remedy(
    team: Callable[[str], Path], text: str, message: str
) -> None:
    path = team(text)
    error = error_of(path)
    assert error.startswith(f"{path}")
    assert message in error


def test_teams_may_name_teams_but_not_in_a_circle(team: Callable[[str], Path]) -> None:
    def escalate(name: str, to: str) -> Path:
        return team(f'name = "{name}"\nkind = "escalate"\n[escalate]\nto = "{to}"')

    fine = [escalate("a", "b"), escalate("b", "single")]
    assert Catalog(teams=fine).names == (*PARADIGM_NAMES, "a", "b")
    with pytest.raises(ConfigError, match="escalates to itself"):
        Catalog(teams=[escalate("c", "d"), escalate("d", "c")])


def test_plugins_are_paradigms_by_their_names() -> None:
    class Echo(Base):
        name = "echo"

        def run(self, question: str, task: TaskRun) -> Outcome:
            return Outcome(answer=question)

    catalog = Catalog(plugins=[Echo])
    assert catalog.names == (*PARADIGM_NAMES, "echo")
    runtime = runtime_of(analyst)
    assert catalog.make("echo", runtime).run("Hello.", TaskRun(5)).answer == "Hello."
    with pytest.raises(ConfigError, match="there already is a paradigm 'echo'"):
        Catalog(plugins=[Echo, Echo])
    with pytest.raises(ConfigError, match="There is no paradigm 'ech'; choose base, single"):
        catalog.make("ech", runtime)
    runtime.close()


def test_a_profile_compares_the_three_of_the_study_unless_told_otherwise() -> None:
    assert DEFAULT_PARADIGMS == ("base", "single", "multi")
    assert set(DEFAULT_PARADIGMS) < set(PARADIGM_NAMES)


def test_a_file_is_read_without_a_runtime(team: Callable[[str], Path]) -> None:
    spec = load_team(team(SUPERVISOR))
    assert spec.kind == "supervisor"
    assert spec.role[0].example[0].calls[0].arguments == {"expression": "2 + 2"}


def test_the_teams_of_the_documents_are_valid(team: Callable[[str], Path]) -> None:
    kinds = []
    for document in ("docs/teams.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        blocks = re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        specs = [load_team(team(block)) for block in blocks if "\nkind = " in block]
        assert specs, document
        kinds += [spec.kind for spec in specs]
    assert {"supervisor", "escalate"} <= set(kinds)

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

import edgeagent
from edgeagent.cli import COMMANDS, main
from edgeagent.cli.group import LazyGroup
from edgeagent.errors import ConfigError, EdgeAgentError, ResourceError, SourceError

HEAVY = ("onnxruntime", "onnxruntime_genai", "torch", "transformers", "huggingface_hub", "onnx")
NOT_FOR_HELP = (*HEAVY, "pydantic", "numpy", "rich", "tokenizers", "gguf", "jinja2", "psutil")

LIST_MODULES = """
import json, sys
sys.argv = ["edgeagent", *json.loads(sys.argv[1])]
try:
    import edgeagent
    if sys.argv[1:]:
        from edgeagent.cli import main
        main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules_after(*args: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, json.dumps(args)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("args", "forbidden"),
    [
        ((), NOT_FOR_HELP),
        (("--help",), NOT_FOR_HELP),
        (("--version",), NOT_FOR_HELP),
        (("models", "list"), HEAVY),
        (("report", "--help"), HEAVY),
    ],
)
def test_light_commands_import_nothing_heavy(
    args: tuple[str, ...], forbidden: tuple[str, ...]
) -> None:
    assert modules_after(*args) & set(forbidden) == set()


def test_help_answers_at_once() -> None:
    times_s = []
    for _ in range(3):
        start_s = time.perf_counter()
        subprocess.run([sys.executable, "-m", "edgeagent", "--help"], check=True, timeout=60)
        times_s.append(time.perf_counter() - start_s)
    assert min(times_s) < 0.5


def test_help_lists_every_command_and_an_example() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in result.output
        assert line in result.output
    assert "edgeagent profile" in result.output


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"edgeagent {edgeagent.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"\n    edgeagent {name}" in result.output  # on a line of its own


def group_with(action: Callable[[], object]) -> click.Group:
    group = LazyGroup("edgeagent", commands_table={})
    command = click.Command("act", callback=action)
    group.get_command = lambda ctx, name: command  # type: ignore[method-assign]
    return group


def raising(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EdgeAgentError("It broke."), 1),
        (ConfigError("It broke."), 2),
        (SourceError("It broke."), 3),
        (ResourceError("It broke."), 5),
    ],
)
def test_our_errors_become_one_line_and_their_exit_code(
    error: EdgeAgentError, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEAGENT_DEBUG", raising=False)
    result = CliRunner().invoke(group_with(raising(error)), ["act"])
    assert (result.exit_code, result.stderr, result.stdout) == (code, "error: It broke.\n", "")


def test_ctrl_c_is_130() -> None:
    result = CliRunner().invoke(group_with(raising(KeyboardInterrupt())), ["act"])
    assert (result.exit_code, result.stderr.strip()) == (130, "interrupted")


def test_bugs_ask_to_be_reported_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEAGENT_DEBUG", raising=False)
    group = group_with(raising(ZeroDivisionError("line one\nline two")))
    result = CliRunner().invoke(group, ["act"])
    assert result.exit_code == 70
    assert "ZeroDivisionError: line one" in result.stderr
    assert "report it" in result.stderr
    assert len(result.stderr.splitlines()) == 1

    monkeypatch.setenv("EDGEAGENT_DEBUG", "1")
    result = CliRunner().invoke(group, ["act"])
    assert "Traceback" in result.stderr
    assert result.exit_code == 70


def test_usage_errors_are_2() -> None:
    result = CliRunner().invoke(main, ["no-such-command"])
    assert result.exit_code == 2
    assert "no-such-command" in result.stderr


def test_a_command_that_is_not_installed_breaks_only_itself() -> None:
    table = {"gone": ("edgeagent.cli.gone:command", "Is not there.")}
    group = LazyGroup("edgeagent", commands_table=table)
    assert "Is not there." in CliRunner().invoke(group, ["--help"]).output
    result = CliRunner().invoke(group, ["gone"])
    assert result.exit_code == 1
    assert "lacks the command 'gone'" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close differently")
def test_a_reader_that_has_enough_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeagent", "models", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait(60) == 1


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_narrow_consoles_never_fail(encoding: str, tmp_path: object) -> None:
    home = f"{tmp_path}/日本語"
    for args in (["models", "list"], ["models", "show", "smollm2-135m-instruct"]):
        done = subprocess.run(
            [sys.executable, "-X", "utf8=0", "-m", "edgeagent", *args],
            env={"PYTHONIOENCODING": encoding, "EDGEAGENT_HOME": home, "PYTHONPATH": sys.path[0]},
            cwd=str(edgeagent.__path__[0]) + "/..",
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert b"smollm2-135m-instruct" in done.stdout

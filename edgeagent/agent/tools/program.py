"""Programs that a user named as tools: run without a shell, bounded in time and output."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeagent.agent.formats.protocol import Call, Example, Turn
from edgeagent.agent.tools.parameters import check_parameters
from edgeagent.agent.tools.protocol import JsonSchema
from edgeagent.agent.tools.said import offer_said
from edgeagent.config.tools_file import CommandSpec, ProgramSpec, ToolsFile
from edgeagent.errors import ConfigError, ToolError

MAX_OUTPUT_BYTES = 1 << 20
"""A program that writes more is ended; models are shown about a thousandth of it."""

_POLL_S = 0.02
_SHOWN_CHARS = 200
_KEPT = (
    ("APPDATA", "LOCALAPPDATA", "PATH", "PATHEXT", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP")
    if sys.platform == "win32"
    else ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER")
)
"""Variables that programs need to start at all; keys and tokens of others are not among them."""


def environment(spec: ProgramSpec, where: str) -> dict[str, str]:
    """Return the environment that a program gets.

    Raises:
        ConfigError: A variable that it shall get is not set.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    for name in spec.pass_env:
        if name not in os.environ:
            raise ConfigError(f"{where}: pass_env: {name} is not set in the environment; set it.")
        kept[name] = os.environ[name]
    return kept | spec.env


class CommandTool:
    """A tool made of a program."""

    is_delegate = False

    def __init__(self, spec: CommandSpec, file: ToolsFile) -> None:
        """Prepare; the program is started by each call.

        Raises:
            ConfigError: The parameters are no usable schema, the folder or a variable is missing.
        """
        where = f"{file.path}: command {spec.name}"
        self.name = spec.name
        self.description = spec.description
        required = list(spec.parameters if spec.required is None else spec.required)
        self.parameters: JsonSchema = {
            "type": "object",
            "properties": spec.parameters,
            "required": required,
            "additionalProperties": False,
        }
        try:
            check_parameters(self.parameters)
        except ValueError as error:
            raise ConfigError(f"{where}: the schema of its parameters {error}.") from error
        self.examples = tuple(
            Example(
                example.question,
                (
                    Turn(calls=(Call(spec.name, example.arguments),)),
                    Turn(answer=example.answer),
                ),
                (example.result,),
            )
            for example in spec.example
        )
        self._command = (file.program(spec.run[0]), *spec.run[1:])
        self._timeout_s = spec.timeout_s
        self._environment = environment(spec, where)
        self._folder = file.resolve(spec.cwd)
        if not self._folder.is_dir():
            raise ConfigError(f"{where}: cwd: {self._folder} is not a folder.")

    def offer(self, question: str, results: Sequence[str]) -> JsonSchema | None:
        """Offer arguments made of what was said, if its words are about the question."""
        return offer_said(self, question, results)

    def run(self, arguments: Mapping[str, object]) -> str:
        """Return what the program writes.

        Raises:
            ToolError: It cannot be started, fails, says nothing or takes too long.
        """
        output = run_program(
            self._command,
            json.dumps(dict(arguments), ensure_ascii=False),
            folder=self._folder,
            variables=self._environment,
            timeout_s=self._timeout_s,
        )
        if not output.strip():
            raise ToolError("the program wrote nothing")
        return output.strip()


def run_program(
    command: Sequence[str],
    text: str,
    *,
    folder: Path,
    variables: Mapping[str, str],
    timeout_s: float,
) -> str:
    """Run a program and return what it writes to its standard output.

    Raises:
        ToolError: It cannot be started, fails, writes too much or takes too long.
    """
    # Files, not pipes: nothing can block, whatever the program reads or writes first.
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        given.write(text.encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=given,
                stdout=output,
                stderr=errors,
                cwd=folder,
                env=dict(variables),
                **_own_group(),
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ToolError(f"the program {command[0]} cannot be started: {reason}") from error
        try:
            _wait(process, output.fileno(), timeout_s)
        finally:
            _end_group(process)
        if process.returncode:
            errors.seek(0)
            lines = errors.read(MAX_OUTPUT_BYTES).decode(errors="replace").strip().splitlines()
            reason = lines[-1].strip()[:_SHOWN_CHARS] if lines else "it says nothing"
            raise ToolError(f"the program ended with status {process.returncode}: {reason}")
        output.seek(0)
        return output.read(MAX_OUTPUT_BYTES).decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], output: int, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)
        if os.fstat(output).st_size > MAX_OUTPUT_BYTES:
            raise ToolError(f"the program wrote more than {MAX_OUTPUT_BYTES >> 20} MiB")
        if process.returncode is not None:
            return
        if time.monotonic() > deadline_s:
            raise ToolError(f"the program did not finish within {timeout_s:g} s")


def _own_group() -> dict[str, Any]:
    """Return the options that make it, and what it starts, one thing that can be ended."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of a program; a program that has ended may have left others behind."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()

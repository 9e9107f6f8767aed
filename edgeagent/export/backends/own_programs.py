"""Starting the programs in `programs/`, and reading what they report."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from edgeagent.export.backends.protocol import BackendStage, OnBackendProgress

_PROGRESS = re.compile(r"^@progress (\d{1,15}) (\d{1,15}) ?(.*)")


def program(name: Literal["gguf_to_folder", "quantize_graph", "reference_logits"]) -> str:
    """Return the path of a program, the first argument of the interpreter."""
    return str(Path(__file__).with_name("programs") / f"{name}.py")


def report_progress(on_progress: OnBackendProgress, stage: BackendStage) -> Callable[[str], None]:
    """Return a reader of a program's lines that passes its progress on."""

    def on_line(line: str) -> None:
        if found := _PROGRESS.match(line):
            on_progress(stage, int(found[1]), int(found[2]), found[3])

    return on_line

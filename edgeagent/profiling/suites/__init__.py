"""Suites by name: shipped ones, files of one's own, and adapters of known benchmarks.

An adapter is a file here that turns somebody's questions into a suite, and a line below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgeagent.config.suites import Suite, load_suite
from edgeagent.profiling.suites.bfcl import load_bfcl
from edgeagent.profiling.suites.finqa import load_finqa
from edgeagent.profiling.suites.gsm8k import load_gsm8k

ADAPTERS: Mapping[str, Callable[[str], Suite]] = {
    "bfcl": load_bfcl,
    "finqa": load_finqa,
    "gsm8k": load_gsm8k,
}
"""By what stands before the colon; the function gets what stands behind it."""


def open_suite(name_or_path: str | Path) -> Suite:
    """Load a suite by name, path, or the name of an adapter with what it shall read.

    Raises:
        ConfigError: There is no such suite, or it is not valid.
    """
    if isinstance(name_or_path, str):
        prefix, colon, rest = name_or_path.partition(":")
        if colon and prefix in ADAPTERS:
            return ADAPTERS[prefix](rest)
    return load_suite(name_or_path)

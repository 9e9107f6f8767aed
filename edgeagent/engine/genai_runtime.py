"""Importing onnxruntime-genai without telemetry, and opening a model on an execution provider."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeagent.config.cores import usable_physical_cores
from edgeagent.config.run import EngineConfig
from edgeagent.engine.genai_package import ALL_POSITIONS_NAME
from edgeagent.errors import EngineError
from edgeagent.privacy import disable_dependency_telemetry


def import_runtime() -> Any:
    """Import onnxruntime_genai with telemetry off.

    Raises:
        EngineError: It is not installed or does not work on this machine.
    """
    disable_dependency_telemetry()
    try:
        import onnxruntime_genai as og
    except (ImportError, OSError) as error:
        raise EngineError(
            f"onnxruntime-genai cannot be imported ({error}); install edgeagent again."
        ) from error
    return og


@dataclass(frozen=True, slots=True)
class _Provider:
    """The names of an execution provider: in a package's configuration and in onnxruntime."""

    config_name: str
    runtime_name: str


_PROVIDERS = {
    "cuda": _Provider("cuda", "CUDAExecutionProvider"),
    "dml": _Provider("dml", "DmlExecutionProvider"),
    "openvino": _Provider("OpenVINO", "OpenVINOExecutionProvider"),
    "qnn": _Provider("qnn", "QNNExecutionProvider"),
    "webgpu": _Provider("WebGPU", "WebGpuExecutionProvider"),
}


def available_eps() -> tuple[str, ...]:
    """Return the execution providers that the installed runtime was built with, `cpu` first.

    onnxruntime is asked, because onnxruntime-genai's own `is_*_available` also say yes to
    providers that then fail to load.
    """
    disable_dependency_telemetry()
    import onnxruntime

    built_in = set(onnxruntime.get_available_providers())
    return ("cpu", *(name for name, ep in _PROVIDERS.items() if ep.runtime_name in built_in))


def open_model(folder: Path, config: EngineConfig) -> tuple[Any, str]:
    """Load a package and return the runtime's model with the execution provider in use.

    Raises:
        EngineError: The execution provider is not there, or the runtime refused the package.
            There is no silent fallback to the CPU.
    """
    og = import_runtime()
    try:
        native = og.Config(str(folder))
        native.clear_providers()
        if config.ep != "cpu":
            available = available_eps()
            if config.ep not in available:
                raise EngineError(
                    f"The execution provider {config.ep!r} is not in the installed runtime, which "
                    f"has {', '.join(available)}."
                )
            native.append_provider(_PROVIDERS[config.ep].config_name)
        native.overlay(json.dumps(_overlay(config)))
        return og.Model(native), config.ep
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"{folder} cannot be loaded: {first_line(error)}.") from error


def first_line(error: BaseException) -> str:
    """Return what the runtime says went wrong, without its trailing full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(". ")


def thread_count(config: EngineConfig) -> int:
    """Return the threads that one operator uses under this configuration."""
    return config.intra_op_num_threads or usable_physical_cores()


def _overlay(config: EngineConfig) -> dict[str, Any]:
    decoder: dict[str, Any] = {
        "session_options": {
            "intra_op_num_threads": thread_count(config),
            "session.intra_op.allow_spinning": "1" if config.allow_spinning else "0",
        }
    }
    if config.speculation is not None:
        decoder["filename"] = ALL_POSITIONS_NAME
    return {"model": {"decoder": decoder}}

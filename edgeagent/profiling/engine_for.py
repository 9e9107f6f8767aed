"""The settings of the runtime that a package is run with on this device."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from edgeagent.config.engine_choice import EngineChoice, Origin, choose_engine
from edgeagent.config.package import Package
from edgeagent.config.run import EngineConfig
from edgeagent.config.tuned import TunedFor, TunedHost, find_tuned
from edgeagent.meter.host.facts import host_record

_RUNTIME = "onnxruntime-genai"


def tuning_target(package: Package) -> TunedFor:
    """Return what settings of this package are tuned for: this device and the installed runtime."""
    return TunedFor(
        model_id=package.manifest.model_id,
        package_sha256=package.sha256,
        runtime=f"{_RUNTIME} {metadata.version(_RUNTIME)}",
        host=TunedHost.of(host_record()),
    )


def engine_config_for(package: Package, *, tuned: bool = True, **given: Any) -> EngineChoice:
    """Return the settings that a package is run with, and where each of them comes from.

    Args:
        package: The exported model.
        tuned: Whether to use what `edgeagent tune` found for this package on this device.
        **given: Fields of `EngineConfig` that the user decided; `None` is not decided.
            `speculation` may also be True or False.

    Raises:
        ConfigError: The tuned settings are damaged.
    """
    if not tuned:
        return choose_engine(given, {})
    found = find_tuned(tuning_target(package))
    if found.profile is None:
        return choose_engine(given, {}, found.note)
    profile = found.profile
    if profile.ep != (given.get("ep") or EngineConfig().ep):
        return choose_engine(given, {}, f"tuned settings are not used: they are for {profile.ep}")
    choice = choose_engine(given, profile.engine.settings())
    if Origin.TUNED not in choice.origins.values():
        return choice
    note = (
        f"settings tuned for {profile.goal} on {profile.created_utc[:10]} are used "
        f"({choice.origin}); --no-tuned leaves them out"
    )
    return EngineChoice(choice.config, choice.origins, note)

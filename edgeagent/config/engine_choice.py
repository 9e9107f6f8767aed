"""Where a setting of the runtime comes from: given by the user, tuned for the device, default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edgeagent.config.run import EngineConfig, NGramSpeculation


class Origin(StrEnum):
    """Who decided a setting."""

    DEFAULT = "default"
    TUNED = "tuned"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The settings that are used and where they come from.

    Attributes:
        config: The settings.
        origins: Origin of each setting that is not the default one.
        note: A sentence for the user, empty if there is nothing to say.
    """

    config: EngineConfig
    origins: Mapping[str, Origin] = field(default_factory=dict)
    note: str = ""

    @property
    def origin(self) -> str:
        """The origins in words, as records hold them: `tuned: allow_spinning`, or `default`."""
        parts = []
        for origin in (Origin.GIVEN, Origin.TUNED):
            names = sorted(name for name, found in self.origins.items() if found is origin)
            if names:
                parts.append(f"{origin.value}: {', '.join(names)}")
        return "; ".join(parts) or Origin.DEFAULT.value


def choose_engine(
    given: Mapping[str, Any], tuned: Mapping[str, Any], note: str = ""
) -> EngineChoice:
    """Put settings together: what is given wins over what was tuned, which wins over the default.

    Args:
        given: Fields of `EngineConfig`; a value of `None` is not given. `speculation` is True,
            False or the settings of it: True takes the tuned ones where there are some.
        tuned: Fields of `EngineConfig` that were tuned for this package and device.
        note: Passed on.
    """
    settings = dict(tuned)
    origins = dict.fromkeys(tuned, Origin.TUNED)
    for name, value in given.items():
        if value is None:
            continue
        if value is True and name == "speculation":
            value = tuned.get(name) or NGramSpeculation()  # noqa: PLW2901 - a flag becomes settings
        settings[name] = (value or None) if name == "speculation" else value
        origins[name] = Origin.GIVEN
    return EngineChoice(EngineConfig(**settings), origins, note)


def given_engine(config: EngineConfig) -> EngineChoice:
    """Return settings that a caller made: what differs from the default was given."""
    default = EngineConfig()
    names = [
        name
        for name in EngineConfig.model_fields
        if getattr(config, name) != getattr(default, name)
    ]
    return EngineChoice(config, dict.fromkeys(names, Origin.GIVEN))

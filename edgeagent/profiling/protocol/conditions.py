"""The state of the machine before and after a session, and what was warned of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeagent.meter.host.preflight import preflight
from edgeagent.meter.host.state import take_host_state
from edgeagent.record import jsonl
from edgeagent.record.conditions import CONDITIONS_NAME, ConditionsRecord, HostWarning
from edgeagent.record.run import RunConfig

LOAD_WINDOW_S = 0.5
"""How long the load of other programs is watched, before and after."""


def low_memory(needed_bytes: int) -> HostWarning | None:
    """Return a warning if less memory is available than a process is predicted to need."""
    state = take_host_state(load_window_s=0.0)
    warnings = preflight(state, needed_bytes=needed_bytes)
    return next((warning for warning in warnings if warning.id == "low_memory"), None)


@dataclasses.dataclass
class Conditions:
    """Writes the state before at once and both states when the session ends.

    Attributes:
        path: The file of the run folder.
        record: What was written last.
    """

    path: Path
    record: ConditionsRecord

    @classmethod
    def begin(cls, config: RunConfig, folder: Path, session: int) -> Conditions:
        """Look at the machine and write it down.

        Args:
            config: Configuration of the run.
            folder: The run folder.
            session: Number of this process within the run.
        """
        before = take_host_state(load_window_s=LOAD_WINDOW_S)
        warnings = preflight(before)
        record = ConditionsRecord(config=config, session=session, before=before, warnings=warnings)
        path = folder / CONDITIONS_NAME
        jsonl.append(path, record)
        return cls(path, record)

    @property
    def warnings(self) -> tuple[HostWarning, ...]:
        """What makes figures worse or less repeatable."""
        return self.record.warnings

    def end(self) -> None:
        """Look again and write both states down."""
        after = take_host_state(load_window_s=LOAD_WINDOW_S)
        self.record = self.record.model_copy(update={"after": after})
        jsonl.append(self.path, self.record)

"""Taking up a search that was interrupted: its finished rounds are given out again, in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from edgeagent.config.run import EngineConfig
from edgeagent.errors import ConfigError
from edgeagent.profiling.tune.device import Device, Measured, Replay
from edgeagent.record.tuning import Phase, TuningRecord, Verdict

_MAX_RECORD_BYTES = 64 << 20


def load_record(path: Path) -> TuningRecord | None:
    """Return the record of a search, `None` if there is none or it is damaged."""
    try:
        if path.stat().st_size > _MAX_RECORD_BYTES:
            return None
        return TuningRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def resumed(device: Device, record: TuningRecord) -> Replay:
    """Return a device that first gives what an interrupted search measured.

    Raises:
        ConfigError: The record makes no sense.
    """
    try:
        configs = [EngineConfig.from_recorded(c.settings, record.ep) for c in record.candidates]
        measured = _measured(record, configs)
    except (ValueError, IndexError) as error:
        raise ConfigError(
            "What was kept of an interrupted search is damaged; "
            f"`edgeagent tune {record.model_id} --forget` deletes it."
        ) from error
    rejected = {
        config: candidate.rejected
        for config, candidate in zip(configs, record.candidates, strict=True)
        if candidate.rejected
    }
    return Replay(device, measured, rejected)


def decided_pairs(record: TuningRecord) -> dict[tuple[str, Phase], int]:
    """Return the pairs of each decision that was made, by stage and phase."""
    return {
        (found.stage, found.phase): found.pairs
        for found in record.comparisons
        if found.phase != "screen" and found.verdict not in {Verdict.UNDECIDED, Verdict.REJECTED}
    }


def _measured(
    record: TuningRecord, configs: Sequence[EngineConfig]
) -> list[tuple[EngineConfig, Measured]]:
    return [
        (
            configs[trial.candidate],
            Measured(
                cost=trial.cost,
                t0_ns=trial.t0_ns,
                t1_ns=trial.t1_ns,
                parts=trial.parts,
                rss_peak_bytes=trial.rss_peak_bytes,
                drafted=trial.drafted,
                accepted=trial.accepted,
            ),
        )
        for trial in record.trials
    ]

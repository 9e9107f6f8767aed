"""Reading a number of a sensor file once: time stamps, errors, and the probe that decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeagent.clock import now_ns
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import state_of
from edgeagent.record.samples import Sample, SourceInfo, SourceState

Take = Callable[[], float]
"""Reads a value once, in the unit of its source.

Raises:
    OSError: The system gave no value.
    ValueError: It gave something that is no value.
    MeterError: The value means nothing now, such as that of a battery which is being charged.
"""

NO_REMEDIES: Mapping[SourceState, str] = {}


@dataclass(frozen=True, slots=True)
class ValueMeter:
    """A source that one call reads; the stamp is the middle of the call."""

    info: SourceInfo
    take: Take
    min_interval_s: float = 0.0

    def read(self) -> Sample:
        """Read once.

        Raises:
            MeterError: No value this time; never a zero or a guess instead.
        """
        t0_ns = now_ns()
        try:
            value = self.take()
        except OSError as error:
            reason = f"{self.info.source}: {describe(error)}"
            raise MeterError(reason, state_of(error)) from error
        except ValueError as error:
            raise MeterError(f"{self.info.source}: {error}") from error
        t1_ns = now_ns()
        return Sample(
            source=self.info.source,
            t_ns=(t0_ns + t1_ns) // 2,
            width_ns=t1_ns - t0_ns,
            value=value,
        )


def offer(
    info: SourceInfo,
    take: Take,
    *,
    min_interval_s: float = 0.0,
    remedies: Mapping[SourceState, str] = NO_REMEDIES,
) -> Discovery:
    """Make a meter of a source that gives a value when it is probed, and say why it does not.

    Args:
        info: The source, as it is if it can be read.
        take: Reads a value; it is called once.
        min_interval_s: Shortest time between two reads that is worth their cost.
        remedies: What the user can do about a source that is in one of these states.
    """
    meter = ValueMeter(info, take, min_interval_s)
    try:
        take()
    except MeterError as error:
        state, reason = error.state, error.reason
    except OSError as error:
        state, reason = state_of(error), f"The sensor gave no value: {describe(error)}."
    except ValueError as error:
        state, reason = SourceState.UNSUPPORTED, f"The sensor gave no value: {error}."
    else:
        return Discovery((meter,), (info,))
    return Discovery((), (failed(info, state, reason, remedies.get(state, "")),))


def failed(info: SourceInfo, state: SourceState, reason: str, remedy: str = "") -> SourceInfo:
    """Return the source with a state that is not `ok`, and why."""
    return info.model_copy(update={"state": state, "reason": reason, "remedy": remedy})


def describe(error: OSError) -> str:
    """Return what went wrong with which file."""
    text = error.strerror or str(error) or type(error).__name__
    return text if error.filename is None else f"{error.filename}: {text}"


def group_read_remedy(path: Path) -> str:
    """Return how an administrator lets a group read a file of sysfs, now and after each start."""
    rule = f"z {path.resolve()} 0440 root <your group> - -"
    return (
        f'Let a group read it: put the line "{rule}" into /etc/tmpfiles.d/edgeagent.conf and '
        "run `systemd-tmpfiles --create` as an administrator; edgeagent never asks for more rights."
    )

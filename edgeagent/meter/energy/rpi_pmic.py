"""Power of the supplies that the PMIC of a Raspberry Pi 5 makes, as its firmware reads them.

`vcgencmd pmic_read_adc` (Raspberry Pi documentation, "vcgencmd"; works without root for members of
the group `video`) prints a current and a voltage of each supply, a line each::

    VDD_CORE_A current(7)=0.69735000A
    VDD_CORE_V volt(15)=0.72049680V

The sum over them covers the chip, the memory, the radio and the small supplies of the board. It
does not cover what is fed from 5 V directly (USB devices, HATs, the fan, an SSD) nor the losses of
the PMIC itself. So it is less than the board draws: a total of its own, `pmic`, not the module's.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from edgeagent.meter.energy.reading import offer
from edgeagent.meter.protocol import Discovery, MeterError
from edgeagent.meter.tree import THIS_MACHINE, SystemTree
from edgeagent.record.samples import SampleKind, Scope, SourceInfo, SourceState

_CHIP = "brcm,bcm2712"
"""Entry of `compatible` of the boards whose firmware knows the command: Pi 5, Pi 500, CM5."""

INTERVAL_S = 1.0
"""A reading starts a program, so it is taken rarely."""

_TIMEOUT_S = 2.0
_LINE = re.compile(
    r"\s*(?P<supply>[A-Z0-9_]+)_(?P<kind>[AV])\s+(?:current|volt)\([0-9]+\)="
    r"(?P<value>-?[0-9]{1,4}(?:\.[0-9]{1,12})?)[AV]\s*"
)

Run = Callable[[], str]
"""Returns what the command prints.

Raises:
    OSError: It cannot be started.
    MeterError: It failed or took too long.
"""


def discover_rpi_pmic(tree: SystemTree = THIS_MACHINE, run: Run | None = None) -> Discovery:
    """Find the PMIC of a Raspberry Pi 5 and probe it by reading all supplies.

    Args:
        tree: The system's files.
        run: How the command is run; default: as a program, on the machine of this process only.
    """
    compatible = tree.text(tree.proc / "device-tree" / "compatible") or ""
    if _CHIP not in compatible.split("\x00"):
        return Discovery((), ())
    if run is None:
        run = run_vcgencmd if tree.root == Path("/") else _not_this_machine
    info = SourceInfo(
        source="pmic:supplies",
        quantity="power_w",
        kind=SampleKind.SAMPLED,
        scope=Scope.RAIL,
        total="pmic",
        interval_s=INTERVAL_S,
        max_power_w=60.0,
    )
    return offer(
        info,
        Supplies(run).power_w,
        min_interval_s=INTERVAL_S,
        remedies={
            SourceState.PERMISSION: "Join the group: `usermod -aG video <user>`, and log in again.",
            SourceState.ABSENT: "Install the package raspi-utils, which brings vcgencmd.",
        },
    )


class Supplies:
    """Adds up the supplies; those that the first answer named must be in every other one."""

    def __init__(self, run: Run) -> None:
        """Take answers from `run`."""
        self._run = run
        self._known: frozenset[str] = frozenset()

    def power_w(self) -> float:
        """Return the sum of current times voltage over all supplies, in watts.

        Raises:
            OSError: The command cannot be started.
            MeterError: The command failed.
            ValueError: The answer has no supplies, or one of them lacks its current or voltage.
        """
        amperes, volts = _parse(self._run())
        if not amperes:
            raise ValueError("the answer of vcgencmd names no supply")
        lacking = sorted((amperes.keys() | self._known) - (amperes.keys() & volts.keys()))
        if lacking:
            raise ValueError(f"the answer of vcgencmd lacks values of {', '.join(lacking)}")
        self._known = frozenset(amperes)
        return sum(current_a * volts[supply] for supply, current_a in amperes.items())


def _parse(answer: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return currents in A and voltages in V by supply; some voltages have no current."""
    amperes: dict[str, float] = {}
    volts: dict[str, float] = {}
    for line in answer.splitlines():
        found = _LINE.fullmatch(line)
        if found is not None:
            values = amperes if found["kind"] == "A" else volts
            values[found["supply"]] = float(found["value"])
    return amperes, volts


def run_vcgencmd() -> str:
    """Ask the firmware through the program that Raspberry Pi OS has for it; see `Run`."""
    program = shutil.which("vcgencmd")
    if program is None:
        raise FileNotFoundError("vcgencmd is not installed")
    try:
        done = subprocess.run(
            [program, "pmic_read_adc"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MeterError(f"vcgencmd did not answer within {_TIMEOUT_S:g} s.") from error
    answer = done.stdout.decode("utf-8", errors="replace")
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", errors="replace").strip()[:120]
        refused = re.search(r"permission|can't open|/dev/vcio", said, re.IGNORECASE)
        state = SourceState.PERMISSION if refused else SourceState.STALE
        raise MeterError(f"vcgencmd ended with {done.returncode}: {said}", state)
    return answer


def _not_this_machine() -> str:
    raise MeterError(
        "The supplies are told by a program, which a copy of the files of another machine has not.",
        SourceState.UNSUPPORTED,
    )

"""What code in the sandbox may use of the machine."""

from __future__ import annotations

from typing import NamedTuple


class SandboxLimits(NamedTuple):
    """What one run may use.

    Attributes:
        wall_s: Time by the clock, waiting included.
        cpu_s: Processor time; the kernel counts it in whole seconds.
        memory_bytes: Address space, the interpreter's own 30 MB included.
        output_bytes: What is read of the output; whoever prints more is stopped.
        scratch_bytes: All files of the scratch folder together.
        scratch_files: Number of files and folders there.
        open_files: Files open at the same time.
    """

    wall_s: float = 10.0
    cpu_s: int = 5
    memory_bytes: int = 256 << 20
    output_bytes: int = 16 << 10
    scratch_bytes: int = 8 << 20
    scratch_files: int = 256
    open_files: int = 32

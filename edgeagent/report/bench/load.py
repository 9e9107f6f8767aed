"""Reading a benchmark again that was written as JSON, on any machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from edgeagent.errors import RunDataError
from edgeagent.record.bench_run import BenchRecord
from edgeagent.report.bench.render import BenchReport

_MAX_BYTES = 256 << 20


def load_bench(path: Path) -> BenchRecord:
    """Return what was measured; the figures are derived from it anew.

    Raises:
        RunDataError: The file cannot be read or is no benchmark of this version.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise RunDataError(f"{path} is larger than {_MAX_BYTES >> 20} MiB.")
        return BenchReport.model_validate_json(path.read_bytes()).record
    except OSError as error:
        raise RunDataError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "its content"
        raise RunDataError(
            f"{path} is not a benchmark that this version reads ({where}); write it with "
            "`edgeagent bench MODEL --out FILE.json`."
        ) from error

"""Exports damaged sources in a process of its own and writes down how each one ended.

    python damage_worker.py FOLDER SEED

`FOLDER` holds sound sources, a file `*.gguf` or a folder each. A line of JSON per case goes to the
standard output: its name before it starts, so that a crash or a hang can be told, and its end.
On Linux the process may address one gigabyte more than it did when a sound source was exported.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from damage import Damage
from gguf_damage import gguf_damages
from safetensors_damage import safetensors_damages

from edgeagent.errors import EdgeAgentError
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings

MEMORY_BYTES = 1 << 30


def export_source(source: Path, out: Path) -> None:
    """Export a source of any format."""
    settings = ExportSettings(verify="load")
    export_checkpoint(source, out, facts=ModelFacts(model_id="damaged"), settings=settings)


def main(folder: Path, seed: int) -> None:
    """Export every sound source and then its damaged versions."""
    work = folder / "work"
    for sound in sorted(path for path in folder.iterdir() if path != work):
        work.mkdir()
        export_source(sound, work / "package")
        expected = _digest(work / "package")
        shutil.rmtree(work)
        if sys.platform == "linux":
            _limit_memory()
        for damage in _damages(sound, seed):
            _report({"started": damage.name})
            _report(_run(damage, work, expected) | {"name": damage.name})
            shutil.rmtree(work)


def _report(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _damages(sound: Path, seed: int) -> Iterator[Damage]:
    if sound.is_file():
        return gguf_damages(sound.read_bytes(), seed)
    return safetensors_damages({path.name: path.read_bytes() for path in sound.iterdir()}, seed)


def _run(damage: Damage, work: Path, expected: str) -> dict[str, object]:
    source, out = work / "source", work / "package"
    source.mkdir(parents=True)
    for name, content in damage.files.items():
        (source / name).write_bytes(content)
    end: dict[str, object] = {"expectation": damage.expectation}
    start = time.perf_counter()
    try:
        export_source(source / damage.opened, out)
        end["end"] = "unchanged" if _digest(out) == expected else "valid"
    except EdgeAgentError as error:
        end |= {"end": "refused", "message": str(error)}
        end["leftovers"] = sorted(path.name for path in work.iterdir() if path != source)
    except BaseException as error:
        end |= {"end": "failed", "message": f"{type(error).__name__}: {error}"}
    end["seconds"] = time.perf_counter() - start
    return end


def _digest(package: Path) -> str:
    """Hash of a package without its manifest, which states the hash of the source."""
    digest = hashlib.sha256()
    for path in sorted(package.iterdir()):
        if path.name != "manifest.json":
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _limit_memory() -> None:
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

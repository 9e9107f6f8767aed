"""How much memory a container leaves, in both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.config.cgroup import memory_headroom_bytes


def write(root: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")


def headroom(root: Path) -> int | None:
    return memory_headroom_bytes(root / "sys", root / "proc")


def test_the_tightest_ancestor_counts_and_droppable_pages_are_free(tmp_path: Path) -> None:
    own, parent = "sys/fs/cgroup/a/b", "sys/fs/cgroup/a"
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b",
            f"{own}/memory.max": "1000",
            f"{own}/memory.current": "300",
            f"{parent}/memory.max": "2000",
            f"{parent}/memory.current": "1900",
            f"{parent}/memory.stat": "anon 1\ninactive_file 400\nactive_file 7",
        },
    )
    assert headroom(tmp_path) == 500
    write(tmp_path, {f"{own}/memory.current": "700"})
    assert headroom(tmp_path) == 300
    write(tmp_path, {f"{own}/memory.current": "1001"})
    assert headroom(tmp_path) == 0


def test_version_1(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/memory"
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc",
            f"{folder}/memory.limit_in_bytes": "1000",
            f"{folder}/memory.usage_in_bytes": "600",
            f"{folder}/memory.stat": "inactive_file 1\ntotal_inactive_file 100",
        },
    )
    assert headroom(tmp_path) == 500
    write(tmp_path, {f"{folder}/memory.limit_in_bytes": str((1 << 63) - 4096)})
    assert headroom(tmp_path) is None


@pytest.mark.parametrize("damage", ["", "max", "-1", "1e9", "lots"])
def test_what_cannot_be_read_is_no_limit(tmp_path: Path, damage: str) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": damage,
            "sys/fs/cgroup/memory.current": "5",
        },
    )
    assert headroom(tmp_path) is None
    assert headroom(tmp_path / "nothing") is None

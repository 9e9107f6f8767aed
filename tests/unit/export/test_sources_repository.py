"""Whole repositories from a real HTTP server on loopback that behaves like the hub."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, Hub, describe, loopback_hub
from safetensors_files import Entry, config, safetensors
from tiny_checkpoints import ALL_CHECKPOINTS

from edgeagent.errors import EdgeAgentError, ResourceError, SourceError, UnsupportedError
from edgeagent.export.checkpoint.open import open_checkpoint
from edgeagent.export.resolve import export_model
from edgeagent.export.settings import ExportSettings
from edgeagent.export.sources import PullProgress, origin_of, transfer
from edgeagent.export.sources.repository import (
    HubAddress,
    listing_of,
    parse_address,
    pull_repository,
)

LATER = "f" * 40
WEIGHTS = safetensors(Entry("w", "F32", (750_000,), bytes(range(250)) * 12_000))
SHARDS = [
    safetensors(Entry(name, "F32", (250_000,), bytes([number]) * 1_000_000))
    for number, name in enumerate(("a", "b"))
]
SHARD_NAMES = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
GGUF = b"GGUF" + bytes(range(256)) * 8_000

DESCRIBING = {
    "config.json": json.dumps(config()).encode(),
    "generation_config.json": b"{}",
    "tokenizer.json": b'{"model": {}}' + b" " * 2_000,
    "tokenizer_config.json": b'{"eos_token": "</s>"}',
    "special_tokens_map.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "LICENSE": b"Do what you like.",
}
NOT_WANTED = {
    ".gitattributes": b"*.bin filter=lfs",
    "README.md": b"# Tiny",
    "modeling_tiny.py": b"raise SystemExit",
    "LICENSE.py": b"raise SystemExit",
    "pytorch_model.bin": b"x" * 5_000,
    "consolidated.safetensors": b"x" * 5_000,
    "original/model.safetensors": b"x" * 5_000,
    "onnx/config.json": b"{}",
    "notice.txt": b"",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with loopback_hub(monkeypatch) as state:
        state.files = {**DESCRIBING, **NOT_WANTED, "model.safetensors": WEIGHTS}
        yield state


def shard(server: Hub) -> None:
    """Serve the weights in two files."""
    index = {"weight_map": dict(zip("ab", SHARD_NAMES, strict=True))}
    del server.files["model.safetensors"]
    server.files |= dict(zip(SHARD_NAMES, SHARDS, strict=True))
    server.files["model-00003-of-00002.safetensors"] = b"x" * 5_000  # the index lists it not
    server.files["model.safetensors.index.json"] = json.dumps(index).encode()


def address(text: str = "hf:maker/tiny") -> HubAddress:
    parsed = parse_address(text)
    assert parsed is not None
    return parsed


def kept(folder: Path) -> dict[str, bytes]:
    """What lies below a folder, without stamps."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".stamp.json")
    }


def refusal(text: str, folder: Path) -> str:
    """The sentence with which a download is refused."""
    with pytest.raises(SourceError) as caught:
        pull_repository(address(text), folder)
    message = str(caught.value)
    assert message.startswith(f"{address(text)} cannot be had: ")
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_what_an_export_needs_arrives_pinned_and_nothing_else(server: Hub, tmp_path: Path) -> None:
    folder = pull_repository(address(), tmp_path)
    assert folder == tmp_path / "hub" / "maker--tiny" / COMMIT
    assert kept(folder) == DESCRIBING | {"model.safetensors": WEIGHTS}
    asked = [path for _, path, _ in server.requests]
    assert asked[0].startswith("/api/models/maker/tiny/revision/main?blobs=")
    assert all(path.startswith(f"/maker/tiny/resolve/{COMMIT}/") for path in asked[1:])
    assert origin_of(folder) == f"hub maker/tiny@{COMMIT}"
    assert origin_of(folder / "model.safetensors") == f"hub maker/tiny/model.safetensors@{COMMIT}"
    listing = listing_of(folder / "config.json")
    assert listing is not None
    assert listing.license == "mit"
    with open_checkpoint(folder) as checkpoint:
        assert list(checkpoint.tensors) == ["w"]


def test_weights_come_last_and_shards_as_the_index_says(server: Hub, tmp_path: Path) -> None:
    shard(server)
    folder = pull_repository(address(), tmp_path)
    names = [name for name, _ in server.downloads()]
    assert names[0] == "model.safetensors.index.json"
    assert names[-2:] == SHARD_NAMES
    assert set(names) == {*DESCRIBING, *SHARD_NAMES, "model.safetensors.index.json"}
    with open_checkpoint(folder) as checkpoint:
        assert list(checkpoint.tensors) == ["a", "b"]


def test_progress_is_of_all_files(server: Hub, tmp_path: Path) -> None:
    seen: list[PullProgress] = []
    shard(server)
    folder = pull_repository(address(), tmp_path, on_progress=seen.append)
    total = sum(map(len, kept(folder).values()))
    assert {p.total_bytes for p in seen} == {total}
    assert {p.origin for p in seen} == {"hub maker/tiny@main"}
    done = [p.done_bytes for p in seen if p.stage == "download"]
    assert done == sorted(done)
    assert done[-1] == total
    assert {p.stage for p in seen} == {"download", "verify"}


def test_what_was_pulled_is_used_offline_whatever_the_branch_does(
    server: Hub, tmp_path: Path
) -> None:
    shard(server)
    folder = pull_repository(address(), tmp_path)
    server.requests.clear()
    server.status, server.commit = 500, LATER
    seen: list[PullProgress] = []
    assert pull_repository(address(), tmp_path, on_progress=seen.append) == folder
    assert pull_repository(address(f"hf:maker/tiny@{COMMIT}"), tmp_path) == folder
    assert server.requests == []
    assert seen == []


def test_a_copied_folder_of_downloads_is_checked_by_content(server: Hub, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    pulled = pull_repository(address(), there)
    for path in pulled.iterdir():
        os.utime(path, ns=(1, 1))  # as copying does, so that no stamp is true any more
    shutil.copytree(there, here)
    server.requests.clear()
    folder = pull_repository(address(), here)
    assert folder == here / pulled.relative_to(there)
    assert server.requests == []

    (folder / "config.json").write_bytes(DESCRIBING["config.json"].replace(b"llama", b"lhama"))
    os.utime(folder / "model.safetensors", ns=(2, 2))
    assert pull_repository(address(), here) == folder
    assert server.downloads() == [("config.json", None)]
    assert kept(folder)["config.json"] == DESCRIBING["config.json"]


def test_a_full_commit_is_asked_about_once(server: Hub, tmp_path: Path) -> None:
    pinned = address(f"hf:maker/tiny@{COMMIT}")
    folder = pull_repository(pinned, tmp_path)
    (folder / "model.safetensors").unlink()
    server.requests.clear()
    pull_repository(pinned, tmp_path)
    assert [method for method, path, _ in server.requests if "/api/" in path] == []
    assert server.downloads() == [("model.safetensors", None)]


def test_two_revisions_lie_side_by_side(server: Hub, tmp_path: Path) -> None:
    first = pull_repository(address(), tmp_path)
    server.commit = LATER
    server.files["LICENSE"] = b"Do nothing."
    second = pull_repository(address("hf:maker/tiny@next"), tmp_path)
    assert (first.name, second.name) == (COMMIT, LATER)
    server.status = 500
    assert pull_repository(address(), tmp_path) == first
    assert pull_repository(address("hf:maker/tiny@next"), tmp_path) == second


def test_broken_transfer_continues_where_it_was(server: Hub, tmp_path: Path) -> None:
    server.files["tokenizer.json"] = b"{}"  # small: transfers of large files break
    server.break_after = [2_500_000]
    folder = pull_repository(address(), tmp_path)
    assert kept(folder)["model.safetensors"] == WEIGHTS
    ranges = [ranges for name, ranges in server.downloads() if name == "model.safetensors"]
    assert len(ranges) == 2
    assert ranges[0] is None
    assert ranges[1] is not None
    assert 0 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= 2_500_000


def test_interrupted_pull_resumes_in_the_next(server: Hub, tmp_path: Path) -> None:
    shard(server)
    large = safetensors(Entry("b", "F32", (1_000_000,), bytes(4_000_000)))
    server.files[SHARD_NAMES[1]] = large

    def interrupt(progress: PullProgress) -> None:
        if progress.done_bytes > len(SHARDS[0]) + 2_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull_repository(address(), tmp_path, on_progress=interrupt)
    server.requests.clear()
    seen: list[PullProgress] = []
    folder = pull_repository(address(), tmp_path, on_progress=seen.append)
    ((name, ranges),) = server.downloads()
    assert name == SHARD_NAMES[1]
    assert ranges is not None
    assert seen[0].done_bytes >= len(SHARDS[0])
    assert kept(folder)[name] == large


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_content_with_another_hash_is_refused_and_removed(
    name: str, server: Hub, tmp_path: Path
) -> None:
    content = server.files[name]
    server.sent_instead[name] = content[:-2] + b" " + content[-1:]
    assert name in refusal("hf:maker/tiny", tmp_path)
    assert name not in {path.name for path in tmp_path.rglob("*")}
    server.sent_instead.clear()
    assert kept(pull_repository(address(), tmp_path))[name] == content


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_hub_that_contradicts_its_listing_is_refused(
    name: str, server: Hub, tmp_path: Path
) -> None:
    other = b"x" * len(server.files[name])
    described = server.described()
    assert isinstance(described, dict)
    server.description = described
    server.files[name] = other
    assert name in refusal("hf:maker/tiny", tmp_path)
    assert not any(path.name == name for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "name",
    [
        "../config.json",
        "/etc/passwd",
        "sub/../../LICENSE",
        "C:/LICENSE",
        "sub\\LICENSE",
        "a//b",
        "..",
    ],
)
def test_names_that_lead_out_of_the_folder_are_refused(
    name: str, server: Hub, tmp_path: Path
) -> None:
    server.files[name] = b"!"
    assert "outside the repository" in refusal("hf:maker/tiny", tmp_path / "in")
    assert server.downloads() == []
    assert not (tmp_path / "in").exists()


def test_an_index_that_leads_out_of_the_folder_is_refused(server: Hub, tmp_path: Path) -> None:
    shard(server)
    index = {"weight_map": {"a": "../model.safetensors"}}
    server.files["model.safetensors.index.json"] = json.dumps(index).encode()
    with pytest.raises(EdgeAgentError, match="not beside it"):
        pull_repository(address(), tmp_path)
    assert [name for name, _ in server.downloads()] == ["model.safetensors.index.json"]


@pytest.mark.parametrize(
    "description",
    [
        {},
        [],
        {"id": "maker/tiny"},
        {"id": "maker/tiny", "sha": "main", "siblings": []},
        {"id": "maker/tiny", "sha": "../" + COMMIT[3:], "siblings": []},
        {"id": "maker/tiny", "sha": COMMIT, "siblings": [{"rfilename": 7}]},
        {"id": "maker/tiny", "sha": COMMIT, "siblings": [{"rfilename": "a", "size": "7"}]},
        {"id": "maker/tiny", "sha": COMMIT, "siblings": [{"rfilename": "a", "size": -1}]},
        {"id": "maker/tiny", "sha": COMMIT, "siblings": [{"rfilename": "a", "blobId": "../x"}]},
    ],
)
def test_answers_that_describe_nothing_are_refused(
    description: object, server: Hub, tmp_path: Path
) -> None:
    server.description = description
    assert "does not describe a repository" in refusal("hf:maker/tiny", tmp_path)


def test_another_commit_than_was_asked_for_is_refused(server: Hub, tmp_path: Path) -> None:
    assert COMMIT in refusal(f"hf:maker/tiny@{LATER}", tmp_path)


def test_damaged_records_are_asked_for_again(server: Hub, tmp_path: Path) -> None:
    folder = pull_repository(address(), tmp_path)
    records = [path for path in folder.parent.iterdir() if path.is_file()]
    assert len(records) == 2
    for record in records:
        for content in (
            b"{",
            b"[]",
            b'{"files": [{}], "commit": 7, "address": "hf:maker/tiny@main"}',
        ):
            good = record.read_bytes()
            record.write_bytes(content)
            server.requests.clear()
            assert pull_repository(address(), tmp_path) == folder
            assert len(server.requests) == 1
            assert record.read_bytes() == good


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "RepoNotFound", "there is no repository maker/tiny, or it is private"),
        (401, "", "there is no repository maker/tiny, or it is private"),
        (404, "RevisionNotFound", "maker/tiny has no revision main"),
        (403, "GatedRepo", "accept its terms"),
        (400, "", "the hub cannot be reached"),
        (500, "", "the hub cannot be reached"),
    ],
)
def test_refusals_are_explained(
    status: int, code: str, message: str, server: Hub, tmp_path: Path
) -> None:
    server.status, server.error_code = status, code
    assert message in refusal("hf:maker/tiny", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_gate_before_the_files_is_explained(server: Hub, tmp_path: Path) -> None:
    server.files_status, server.files_error_code = 403, "GatedRepo"
    assert "log in with `hf auth login`" in refusal("hf:maker/tiny", tmp_path)


def test_without_a_network_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    message = refusal("hf:maker/tiny", tmp_path)
    assert "the hub cannot be reached" in message
    assert "give their path" in message


def test_the_token_is_sent_and_nothing_about_the_machine(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pull_repository(address(), tmp_path)
    assert {headers.get("authorization") for headers in server.headers} == {"Bearer hf_secret"}
    for headers in server.headers:
        agent = headers.get("user-agent", "")
        assert "onnx" not in agent
        assert "torch" not in agent
    assert not any(b"hf_secret" in content for content in kept(tmp_path).values())


def test_a_full_disk_is_noticed_before_the_weights(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 67_200_000 + len(SHARDS[0])})()
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: usage)
    shard(server)
    with pytest.raises(ResourceError, match="EDGEAGENT_HOME"):
        pull_repository(address(), tmp_path)
    assert [name for name, _ in server.downloads()] == ["model.safetensors.index.json"]


def test_a_folder_that_cannot_be_made_is_explained(server: Hub, tmp_path: Path) -> None:
    (tmp_path / "hub").write_bytes(b"")
    assert "writing to" in refusal("hf:maker/tiny", tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tiny-q8.gguf": GGUF, "b/tiny-q4.gguf": GGUF}, "FILE.gguf: b/tiny-q4.gguf, tiny-q8.gguf"),
        ({"t-00001-of-00002.gguf": GGUF, "t-00002-of-00002.gguf": GGUF}, "t-00001-of-00002.gguf."),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": GGUF}, "is an adapter"),
        ({"config.json": b"{}", "pytorch_model.bin": GGUF}, "PyTorch files only"),
        ({"README.md": b"hello"}, "nothing to export"),
        ({"model.safetensors": WEIGHTS, "config.json": b"{}"}, "has no tokenizer.json"),
        ({"model.safetensors": WEIGHTS, "tokenizer.json": b"{}"}, "has no config.json"),
        ({"model.safetensors": b"", "config.json": b"{}"}, "neither safetensors nor GGUF"),
    ],
)
def test_repositories_without_an_exportable_folder_say_what_there_is(
    files: dict[str, bytes], message: str, server: Hub, tmp_path: Path
) -> None:
    server.files = files
    assert message in refusal("hf:maker/tiny", tmp_path)
    assert server.downloads() == []
    assert list(tmp_path.iterdir()) == []


def test_a_missing_shard_is_noticed_before_the_others(server: Hub, tmp_path: Path) -> None:
    shard(server)
    del server.files[SHARD_NAMES[1]]
    assert f"{SHARD_NAMES[1]} first" in refusal("hf:maker/tiny", tmp_path)
    assert SHARD_NAMES[0] not in {name for name, _ in server.downloads()}


def test_quantized_weights_are_not_downloaded(server: Hub, tmp_path: Path) -> None:
    quantized = config(quantization_config={"quant_method": "gptq"})
    server.files["config.json"] = json.dumps(quantized).encode()
    with pytest.raises(UnsupportedError, match="quantized already, by gptq"):
        pull_repository(address(), tmp_path)
    assert "model.safetensors" not in {name for name, _ in server.downloads()}


def test_an_export_names_the_commit_and_works_again_offline(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path / "home"))
    source = ALL_CHECKPOINTS["llama3-tied"].write_folder(tmp_path / "model", shards=2)
    server.files = {path.name: path.read_bytes() for path in source.iterdir()}
    settings = ExportSettings(verify="none", policy="float")
    for out in (tmp_path / "first", tmp_path / "again"):
        package = export_model("hf:maker/tiny", out, settings=settings)
        assert package.manifest.model_id == "tiny"
        assert package.manifest.source.origin == f"hub maker/tiny@{COMMIT}"
        assert set(package.manifest.source.parts) == set(SHARD_NAMES)
        server.status = 500


def test_one_gguf_is_pulled_alone(server: Hub, tmp_path: Path) -> None:
    server.files |= {"q4/tiny-q4.gguf": GGUF, "tiny-q8.gguf": GGUF}
    wanted = address("hf:maker/tiny/q4/tiny-q4.gguf")
    path = pull_repository(wanted, tmp_path)
    assert path == tmp_path / "hub" / "maker--tiny" / COMMIT / "q4" / "tiny-q4.gguf"
    assert path.read_bytes() == GGUF
    assert [name for name, _ in server.downloads()] == ["q4/tiny-q4.gguf"]
    assert origin_of(path) == f"hub maker/tiny/q4/tiny-q4.gguf@{COMMIT}"
    listing = listing_of(path)
    assert listing is not None
    assert listing.origin == f"hub maker/tiny@{COMMIT}"
    server.status = 500
    assert pull_repository(wanted, tmp_path) == path


@pytest.mark.parametrize("named", [1, 3])
def test_all_parts_of_a_split_gguf_are_pulled(named: int, server: Hub, tmp_path: Path) -> None:
    parts = {f"tiny-{at:05}-of-00003.gguf": GGUF + bytes([at]) for at in (1, 2, 3)}
    server.files |= {**parts, "tiny-00001-of-00002.gguf": GGUF}
    path = pull_repository(address(f"hf:maker/tiny/tiny-{named:05}-of-00003.gguf"), tmp_path)
    assert path.name == "tiny-00001-of-00003.gguf"
    assert kept(path.parent) == parts


def test_a_gguf_pulled_earlier_stays_when_another_follows_the_branch(
    server: Hub, tmp_path: Path
) -> None:
    server.files |= {"a.gguf": GGUF, "b.gguf": GGUF}
    first = pull_repository(address("hf:maker/tiny/a.gguf"), tmp_path)
    server.commit = LATER
    second = pull_repository(address("hf:maker/tiny/b.gguf"), tmp_path)
    assert second.parent.name == LATER
    server.status = 500
    assert pull_repository(address("hf:maker/tiny/a.gguf"), tmp_path) == first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny-q9.gguf", "FILE.gguf: tiny-00001-of-00002.gguf, tiny-q8.gguf"),
        ("tiny-00001-of-00002.gguf", "lacks 1 of 2 parts, tiny-00002-of-00002.gguf"),
        ("tiny-00009-of-00002.gguf", "FILE.gguf"),
    ],
)
def test_a_gguf_that_is_not_there_is_explained(
    name: str, message: str, server: Hub, tmp_path: Path
) -> None:
    server.files |= {"tiny-q8.gguf": GGUF, "tiny-00001-of-00002.gguf": GGUF}
    assert message in refusal(f"hf:maker/tiny/{name}", tmp_path)
    assert server.downloads() == []


def test_a_part_that_cannot_be_is_refused(server: Hub, tmp_path: Path) -> None:
    server.files["tiny-00009-of-00002.gguf"] = GGUF
    assert "cannot be a part" in refusal("hf:maker/tiny/tiny-00009-of-00002.gguf", tmp_path)


def test_hubs_that_tell_no_sizes_are_believed(server: Hub, tmp_path: Path) -> None:
    server.description = {
        "id": "maker/tiny",
        "sha": COMMIT,
        "siblings": [{"rfilename": name} for name in server.files if server.files[name]],
    }
    seen: list[PullProgress] = []
    folder = pull_repository(address(), tmp_path, on_progress=seen.append)
    assert kept(folder) == DESCRIBING | {"model.safetensors": WEIGHTS}
    assert {p.total_bytes for p in seen} == {None}
    server.status = 500
    assert pull_repository(address(), tmp_path) == folder


def test_a_description_of_a_file_is_as_the_hub_gives_it() -> None:
    assert describe("empty", b"")["blobId"] == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

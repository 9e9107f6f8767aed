"""Addresses of repositories on a hub: what is accepted, and the names that follow from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeagent.errors import ConfigError
from edgeagent.export.sources.address import HubAddress, parse_address

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf:maker/tiny", HubAddress("maker/tiny")),
        ("hf:maker/tiny@v1.0", HubAddress("maker/tiny", None, "v1.0")),
        ("hf:maker/tiny@refs/pr/2", HubAddress("maker/tiny", None, "refs/pr/2")),
        (f"hf:Maker/Tiny_1.5-b@{COMMIT}", HubAddress("Maker/Tiny_1.5-b", None, COMMIT)),
        ("hf:maker/tiny/a.gguf", HubAddress("maker/tiny", "a.gguf")),
        ("hf:maker/tiny/Q4 (new)/a.GGUF@v1", HubAddress("maker/tiny", "Q4 (new)/a.GGUF", "v1")),
    ],
)
def test_addresses_are_read_and_written_back(text: str, address: HubAddress) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", ["smollm2-135m-instruct", "C:/m/a.gguf", "./hf:x", "HF:a/b", ""])
def test_other_texts_are_not_addresses(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "hf:",
        "hf:tiny",
        "hf:maker/",
        "hf:/tiny",
        "hf:maker//a.gguf",
        "hf:maker/tiny/",
        "hf:maker/tiny:Q4_K_M",
        "hf:maker/tiny@",
        "hf:maker/tiny@../../x",
        "hf:maker/tiny@a..b",
        "hf:maker/tiny@-x",
        "hf:../tiny",
        "hf:maker/..",
        "hf:maker/ti--ny",
        "hf:maker/tiny.",
        "hf:maker/tiny/../a.gguf",
        "hf:maker/tiny/sub/../../a.gguf",
        "hf:maker/tiny/.hidden/a.gguf",
        "hf:maker/tiny/sub\\a.gguf",
        "hf:maker/tiny/c:a.gguf",
        "hf:maker/tiny/sub./a.gguf",
        "hf:maker/tiny/a\n.gguf",
        "hf:maker/tiny/model.safetensors",
        "hf:maker/tiny/" + "a" * 300 + ".gguf",
        "hf:" + "m" * 97 + "/tiny",
    ],
)
def test_malformed_addresses_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match="hf:OWNER/REPO") as caught:
        parse_address(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "model_id"),
    [
        ("hf:HuggingFaceTB/SmolLM2-360M-Instruct", "smollm2-360m-instruct"),
        ("hf:q/Qwen2.5-GGUF/qwen2.5-q4_k_m.gguf", "qwen2.5-q4_k_m"),
        ("hf:q/Tiny-GGUF/model-Q8_0-00001-of-00003.gguf", "tiny-model-q8_0"),
        ("hf:q/tiny/Q4 (new)/a b+c.gguf", "tiny-a-b-c"),
        ("hf:q/" + "x" * 90, "x" * 64),
    ],
)
def test_model_ids_name_packages(text: str, model_id: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert address.model_id == model_id
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", model_id)
    assert Path(address.package_name).name == address.package_name


def test_package_names_tell_addresses_apart() -> None:
    texts = [
        "hf:a/tiny",
        "hf:b/tiny",
        "hf:a/Tiny",
        "hf:a/tiny@v1",
        "hf:a/tiny/q8.gguf",
        "hf:a/tiny/sub/q8.gguf",
    ]
    names = {address.package_name for text in texts if (address := parse_address(text))}
    assert len(names) == len(texts)


def test_origin_says_what_was_asked_for() -> None:
    assert HubAddress("a/b").origin == "hub a/b@main"
    assert HubAddress("a/b", "c.gguf", COMMIT).origin == f"hub a/b/c.gguf@{COMMIT}"
    assert HubAddress("a/b", None, COMMIT).is_pinned
    assert not HubAddress("a/b", None, COMMIT[:7]).is_pinned

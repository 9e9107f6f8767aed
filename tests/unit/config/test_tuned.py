"""Device profiles of settings: TOML and back, and when one does not count."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tomli

from edgeagent.config.run import EngineConfig, NGramSpeculation
from edgeagent.config.tuned import (
    TunedEngine,
    TunedFor,
    TunedGain,
    TunedHost,
    TunedProfile,
    find_tuned,
    forget_tuned,
    load_tuned,
    profile_path,
    to_toml,
    tuned_dir,
    write_tuned,
)
from edgeagent.errors import ConfigError, ResourceError

HOST = TunedHost(
    cpu='AMD "Zen" \\ 4',
    machine="x86_64",
    cores_physical=4,
    cores_usable=8,
    memory_bytes=16 * 10**9,
)
TARGET = TunedFor("qwen", "a" * 64, "onnxruntime-genai 0.18.0", HOST)
FASTER = EngineConfig(
    allow_spinning=False, speculation=NGramSpeculation(ngram_len=2, max_draft_len=4)
)


def profile_for(target: TunedFor = TARGET, engine: EngineConfig = FASTER) -> TunedProfile:
    return TunedProfile(
        model_id=target.model_id,
        package_sha256=target.package_sha256,
        runtime=target.runtime,
        ep="cpu",
        goal="latency",
        created_utc="2026-01-02T03:04:05+00:00",
        edgeagent_version="0.1.0",
        record=f"{target.name}.json",
        host=target.host,
        gain=TunedGain(cost_ratio=0.8, low=0.75, high=0.86, pairs=8),
        engine=TunedEngine.of(engine),
    )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAGENT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def with_host(**changes: object) -> TunedFor:
    return dataclasses.replace(TARGET, host=HOST.model_copy(update=changes))


def test_a_profile_survives_toml() -> None:
    target = dataclasses.replace(TARGET, model_id='täg\n"1" \x7f # \\')
    path = write_tuned(target, profile_for(target))
    assert load_tuned(path) == profile_for(target)
    assert find_tuned(target).profile == profile_for(target)
    assert path == profile_path(target)
    assert [left.name for left in tuned_dir().iterdir()] == [path.name]


def test_only_settings_that_are_not_default_are_written() -> None:
    engine = tomli.loads(to_toml(profile_for()))["engine"]
    assert engine == {
        "allow_spinning": False,
        "speculation": {"ngram_len": 2, "max_draft_len": 4},
    }
    assert EngineConfig(**profile_for().engine.settings()) == FASTER
    assert TunedEngine.of(EngineConfig()).settings() == {}


def test_nothing_was_tuned() -> None:
    assert (find_tuned(TARGET).profile, find_tuned(TARGET).note) == (None, "")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (dataclasses.replace(TARGET, package_sha256="b" * 64), "another export"),
        (dataclasses.replace(TARGET, runtime="onnxruntime-genai 0.19.0"), "genai 0.18.0, now"),
        (with_host(cpu="Cortex-A76"), "for the processor AMD"),
        (with_host(cores_usable=4), "for 8 usable cores, now there are 4"),
        (with_host(memory_bytes=8 * 10**9), "with 16.0 GB of memory, now there are 8.0 GB"),
    ],
)
def test_a_stale_profile_is_left_out_and_it_is_said_why(other: TunedFor, why: str) -> None:
    write_tuned(TARGET, profile_for())
    found = find_tuned(other)
    assert found.profile is None
    assert why in found.note


def test_what_is_almost_the_same_memory_is_the_same_device() -> None:
    write_tuned(TARGET, profile_for())
    assert find_tuned(with_host(memory_bytes=int(15.9e9))).profile is not None


def test_models_of_similar_names_do_not_meet() -> None:
    longer = dataclasses.replace(TARGET, model_id="qwen-aaaaaaaa")
    write_tuned(longer, profile_for(longer))
    assert find_tuned(TARGET).note == ""
    assert forget_tuned("qwen") == ()
    assert forget_tuned("qwen-aaaaaaaa") == (profile_path(longer),)


def test_the_profile_of_the_same_name_must_be_of_this_model() -> None:
    # Two ids may become one file name.
    other = dataclasses.replace(TARGET, model_id="QWEN")
    write_tuned(other, profile_for(other))
    assert profile_path(other) == profile_path(TARGET)
    found = find_tuned(TARGET)
    assert found.profile is None
    assert "another export" in found.note


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("allow_spinning = false", "allow_spining = false", "allow_spining"),
        ("schema_version = 1", "schema_version = 2", "schema_version"),
        ("max_draft_len = 4", "max_draft_len = 0", "max_draft_len"),
        ("cost_ratio = 0.8", "cost_ratio = nan", "cost_ratio"),
        ("[gain]", "[gain", "not valid TOML"),
    ],
)
def test_a_damaged_profile_is_an_error_that_says_what_to_do(old: str, new: str, names: str) -> None:
    path = write_tuned(TARGET, profile_for())
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=names) as error:
        find_tuned(TARGET)
    assert "--no-tuned" in str(error.value)
    assert path.name in str(error.value)


def test_a_damaged_profile_of_another_device_is_no_concern() -> None:
    other = with_host(cpu="Cortex-A76")
    write_tuned(other, profile_for(other)).write_text("[", encoding="utf-8")
    assert find_tuned(TARGET).profile is None


def test_forgetting_deletes_profiles_and_records_of_one_model() -> None:
    kept = dataclasses.replace(TARGET, model_id="smollm")
    mine = write_tuned(TARGET, profile_for())
    other = write_tuned(kept, profile_for(kept))
    record = mine.with_suffix(".json")
    record.write_text("{}", encoding="utf-8")
    assert set(forget_tuned("qwen")) == {mine, record}
    assert list(tuned_dir().iterdir()) == [other]


def test_a_home_that_cannot_be_written_is_one_sentence(home: Path) -> None:
    home.write_text("a file", encoding="utf-8")
    with pytest.raises(ResourceError, match="EDGEAGENT_HOME"):
        write_tuned(TARGET, profile_for())

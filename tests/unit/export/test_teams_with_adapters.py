"""Roles with models and adapters of their own, on real packages with tiny weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lora_files
import numpy as np
import numpy.typing as npt
import pytest
from lora_files import ATTENTION, random_factors, write_peft
from tiny_checkpoints import ALL_CHECKPOINTS, relative_error

from edgeagent.agent.paradigms.catalog import Catalog
from edgeagent.agent.runtime import Runtime
from edgeagent.config.run import Budget, EngineConfig
from edgeagent.engine.genai import GenaiEngine
from edgeagent.engine.genai_session import GenaiSession
from edgeagent.engine.protocol import Engine, Session
from edgeagent.engine.scripted import ScriptedEngine
from edgeagent.errors import ConfigError
from edgeagent.export.native import export_checkpoint
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import ExportSettings
from edgeagent.profiling.open_models import ModelOpener, load_genai

_SETTINGS = ExportSettings(policy="float", verify="load", accuracy_level=1)
_CHECKPOINT = ALL_CHECKPOINTS["llama3"]
_BUDGET = Budget(max_context_len=64)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with the adapters `law` and `finance`."""
    folder = tmp_path_factory.mktemp("adapters")
    adapters = {}
    for seed, name in enumerate(("law", "finance")):
        factors: lora_files.Factors = random_factors(_CHECKPOINT, ATTENTION, rank=4, seed=seed)
        adapters[name] = write_peft(folder / name, factors, alpha=8)
    export_checkpoint(
        _CHECKPOINT.write_folder(folder / "model"),
        folder / "package",
        facts=ModelFacts(model_id="tiny"),
        settings=_SETTINGS,
        adapters=adapters,
    )
    return folder / "package"


def logits(session: Session) -> npt.NDArray[np.float32]:
    assert isinstance(session, GenaiSession)
    session.append(_CHECKPOINT.tokens[:12])
    return np.asarray(session.next_logits()).copy()


class Loader:
    """Loads real packages and remembers which."""

    def __init__(self) -> None:
        self.loaded: list[Path] = []

    def __call__(self, folder: Path, config: EngineConfig | None) -> Engine:
        self.loaded.append(folder)
        return load_genai(folder, config)


def runtime_of(load: Loader, loaded: dict[Path, Engine] | None = None) -> Runtime:
    opener = ModelOpener(_BUDGET, config=EngineConfig(), loaded=loaded, load=load)
    return Runtime(ScriptedEngine(lambda _: "Yes."), [], _BUDGET, open_model=opener)


def test_roles_compute_with_their_own_adapters_in_one_loaded_model(package: Path) -> None:
    load = Loader()
    runtime = runtime_of(load)
    voices: Sequence[str | None] = ("law", "finance", None)
    # Two spellings of a folder are one package.
    spellings = (str(package), str(package.parent / "model" / ".." / "package"), str(package))
    found = {
        adapter: logits(runtime.conversation("r", model=spelling, adapter=adapter).session)
        for adapter, spelling in zip(voices, spellings, strict=True)
    }
    assert len(load.loaded) == 1
    runtime.close()

    engine = GenaiEngine(package)
    for adapter in voices:
        session = engine.open(64, adapter)
        assert relative_error(found[adapter], logits(session)) < 1e-6
        session.close()
    engine.close()
    assert relative_error(found["law"], found[None]) > 0.01
    assert relative_error(found["law"], found["finance"]) > 0.01


def test_a_model_that_the_run_has_already_is_not_loaded_again(package: Path) -> None:
    load = Loader()
    engine = GenaiEngine(package)
    assert engine.folder == package
    runtime = runtime_of(load, {engine.folder: engine})
    assert runtime.model(str(package)).engine is engine
    assert load.loaded == []
    runtime.close()


def test_further_models_are_grounded_by_their_own_weights(package: Path) -> None:
    for asked in (False, None, True):
        opener = ModelOpener(_BUDGET.model_copy(update={"grounding": asked}), load=load_genai)
        model = opener(str(package))
        assert model.grounded is True  # far below a billion
        model.engine.close()


def test_names_are_checked_without_loading(package: Path) -> None:
    load = Loader()
    opener = ModelOpener(_BUDGET, load=load)
    opener.check(str(package))
    opener.check("qwen2.5-1.5b-instruct")
    with pytest.raises(ConfigError, match="no-such-model"):
        opener.check("no-such-model")
    assert load.loaded == []


def test_a_team_names_its_package_by_a_relative_path(package: Path) -> None:
    file = package.parent / "team.toml"
    file.write_text(
        'name = "chain"\nkind = "pipeline"\n'
        '[[role]]\nname = "a"\nmodel = "package"\nadapter = "law"\n'
        '[[role]]\nname = "b"\nmodel = "package"\nadapter = "tax"\n',
        encoding="utf-8",
    )
    load = Loader()
    runtime = runtime_of(load)
    with pytest.raises(ConfigError, match="role 'b': its model has no adapter 'tax'") as caught:
        Catalog(teams=[file]).make("chain", runtime)
    assert "it has finance, law" in str(caught.value)
    assert load.loaded == [package.resolve()]
    runtime.close()

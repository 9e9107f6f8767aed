"""The installed wheel `bfcl-eval`: where its data lies, and its checker without its dependencies.

The wheel of the Berkeley function-calling leaderboard carries questions, possible answers and the
program that compares calls with them. Importing the package would load the client libraries of
every vendor; so the data are read as files, and the few modules that compare calls are executed
from their files in a space of their own. Nothing of the wheel gets into `sys.modules`, none of its
other code runs, and whatever else those modules would import is refused.
"""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from edgeagent.errors import ConfigError

PACKAGE = "bfcl_eval"
INSTALL = "pip install --no-deps bfcl-eval"
"""Without its dependencies: they pin numpy and bring dozens of packages that nobody needs here."""

_CHECKER = f"{PACKAGE}.eval_checker.ast_eval.ast_checker"
_MODEL_TABLE = f"{PACKAGE}.constants.model_config"
"""Names a class per vendor; the checker asks it one thing: whether names have dots or not."""

_CONVERTERS = f"{PACKAGE}.eval_checker.ast_eval.type_convertor"
_OWN_MODULES = frozenset(
    {
        _CHECKER,
        f"{PACKAGE}.constants.enums",
        f"{PACKAGE}.constants.type_mappings",
        f"{_CONVERTERS}.java_type_converter",
        f"{_CONVERTERS}.js_type_converter",
    }
)
_STANDARD_MODULES = frozenset({"re", "enum", "typing", "json"})
_MODEL_NAME = "edgeagent"
_SURPRISES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What the checker raises at answers whose shape it did not expect."""


def wheel_folder() -> Path:
    """Return the folder of the installed package, which is not imported.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except (ImportError, ValueError):
        spec = None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise ConfigError(
            "The questions of bfcl come from a package that is not installed; install it with"
            f" `{INSTALL}`."
        )
    return Path(places[0])


def wheel_version() -> str:
    """Return the version of the installed wheel.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError as error:
        wheel_folder()  # says that there is none
        raise ConfigError(
            f"{wheel_folder()} has no version; install it with `{INSTALL}`."
        ) from error


def check_calls(
    category: str,
    functions: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
    ground_truth: Sequence[Mapping[str, Any]],
) -> bool:
    """Return the verdict of the benchmark's own checker.

    Args:
        category: The benchmark's name, such as `live_parallel_multiple`.
        functions: Descriptions as the benchmark has them.
        calls: One mapping of name to arguments a call, dots in names written as underscores.
        ground_truth: The possible answers.

    Raises:
        ConfigError: The wheel is not installed, or its checker is not the one that is known.
    """
    checker = _load_checker(wheel_folder())
    language = getattr(checker.languages, language_of(category).upper())
    try:
        verdict = checker.check(
            [dict(function) for function in functions],
            [dict(call) for call in calls],
            [dict(answer) for answer in ground_truth],
            language,
            category,
            _MODEL_NAME,
        )
    except _SURPRISES:
        # The checker takes the shapes that answers have for granted; what has another is wrong.
        return False
    return bool(verdict["valid"])


def language_of(category: str) -> str:
    """Return the programming language of a category's functions."""
    if "javascript" in category:
        return "javascript"
    return "java" if "java" in category else "python"


@cache
def _load_checker(folder: Path) -> SimpleNamespace:
    loader = _Loader(folder)
    checker = loader.load(_CHECKER)
    enums = loader.load(f"{PACKAGE}.constants.enums")
    found = getattr(checker, "ast_checker", None), getattr(enums, "Language", None)
    if None in found:
        raise _unknown_version("it lacks ast_checker")
    return SimpleNamespace(check=found[0], languages=found[1])


class _Loader:
    """Executes modules of the wheel in a space of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, ModuleType] = {_MODEL_TABLE: _model_table()}

    def load(self, name: str) -> ModuleType:
        """Return a module of the wheel."""
        if name not in self._modules:
            if name not in _OWN_MODULES:
                raise _unknown_version(f"it wants {name}")
            path = self._folder.joinpath(*name.split(".")[1:]).with_suffix(".py")
            try:
                code = compile(path.read_bytes(), str(path), "exec")
            except (OSError, SyntaxError, ValueError) as error:
                raise _unknown_version(f"{path.name} cannot be read") from error
            module = ModuleType(name)
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._import}
            exec(code, vars(module))
            self._modules[name] = module
        return self._modules[name]

    def _import(
        self,
        name: str,
        variables: Mapping[str, object] | None = None,
        local: Mapping[str, object] | None = None,
        names: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Stand in for `__import__` while a module of the wheel is executed."""
        if level == 0 and name in _STANDARD_MODULES:
            importing: Callable[..., ModuleType] = builtins.__import__
            return importing(name, variables, local, names or (), level)
        if level == 0 and names and name.startswith(f"{PACKAGE}."):
            return self.load(name)
        raise _unknown_version(f"it wants {name or 'a neighbour'}")


def _model_table() -> ModuleType:
    """Return what the checker needs to know of a model: it cannot write dots in names."""
    table = ModuleType(_MODEL_TABLE)
    settings = SimpleNamespace(underscore_to_dot=True)
    vars(table)["MODEL_CONFIG_MAPPING"] = {_MODEL_NAME: settings}
    return table


def _unknown_version(reason: str) -> ConfigError:
    return ConfigError(
        f"The installed bfcl-eval has a checker that edgeagent does not know ({reason}); install"
        f" version 2026.3.23 with `{INSTALL}==2026.3.23`."
    )

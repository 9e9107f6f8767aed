"""The way of every backend: check, find an interpreter, convert, build, verify, move into place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgeagent.errors import ConfigError, MissingExtraError
from edgeagent.export.backends.builder import Builder
from edgeagent.export.backends.child import child_environment, isolated, run_child
from edgeagent.export.backends.environment import create_environment, find_environment
from edgeagent.export.backends.fidelity import judge_package, measure_fidelity
from edgeagent.export.backends.interpreter import (
    Interpreter,
    no_interpreter,
    this_interpreter,
    user_interpreter,
)
from edgeagent.export.backends.logs import log_file
from edgeagent.export.backends.model_folder import write_folder_tokenizer, write_model_folder
from edgeagent.export.backends.optimum import Optimum
from edgeagent.export.backends.own_programs import program, report_progress
from edgeagent.export.backends.package import BuiltPackage, Verdict, finish_package, write_manifest
from edgeagent.export.backends.protocol import (
    Backend,
    BuildJob,
    OnBackendProgress,
    RunChild,
    ignore_backend_progress,
)
from edgeagent.export.backends.resources import check_resources, work_folder
from edgeagent.export.backends.settings import BackendSettings
from edgeagent.export.backends.source import BackendSource, SourceHashes, hash_source, open_source
from edgeagent.export.backends.traits import read_config, short_context
from edgeagent.export.protocol import ModelFacts
from edgeagent.export.settings import DEFAULT_CONTEXT_LEN, ExportSettings
from edgeagent.export.verify.runtime import check_runtime
from edgeagent.record.manifest import Manifest
from edgeagent.record.staging import staged_folder

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in (Builder(), Optimum())}
"""Exporters beside the native one, by the name that the user gives."""


def backend_of(name: str) -> Backend:
    """Return a backend by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in BACKENDS:
        raise ConfigError(f"There is no backend {name!r}; there are native, {', '.join(BACKENDS)}.")
    return BACKENDS[name]


def export_with_backend(
    name: str,
    source: Path,
    out: Path,
    *,
    facts: ModelFacts,
    settings: ExportSettings,
    backend_settings: BackendSettings | None = None,
    on_progress: OnBackendProgress = ignore_backend_progress,
) -> Manifest:
    """Export a model with another tool, in a process of its own and without network.

    The folder appears whole or not at all; an older package at `out` is replaced only when the
    new one is complete. Ctrl-C ends the tool and removes what it wrote.

    Args:
        name: Of the backend, a key of `BACKENDS`.
        source: Hugging Face folder with safetensors, or a GGUF file, which is dequantized first.
        out: Folder of the package.
        facts: What is known about the model beside its weights.
        settings: Context length and verification, as for the native exporter.
        backend_settings: What to build and where the tool is; defaults if `None`.
        on_progress: Told what happens.

    Raises:
        ConfigError: An unknown backend, combination or option, an interpreter that will not do,
            or `out` is something else than a package.
        MissingExtraError: There is no environment, and none is to be created.
        SourceError: The source cannot be read.
        ExportError: The source is damaged or not supported, the tool failed (its log is kept and
            named), or the package failed the verification.
        ResourceError: Not enough disk or memory; nothing was written.
    """
    backend = backend_of(name)
    wanted = backend_settings or BackendSettings()
    backend.check(wanted)
    _require_extra()
    checkpoint = open_source(source)
    check_resources(backend, wanted, checkpoint, out, settings)
    interpreter = find_interpreter(backend, wanted, on_progress)
    with staged_folder(out) as folder, work_folder() as work, log_file(f"export-{name}") as log:
        job = _Export(
            backend=backend,
            settings=wanted,
            source=checkpoint,
            python=interpreter.python,
            work=work,
            log=log,
            on_progress=on_progress,
        )
        hashes = job.hash()
        job.prepare_model()
        job.build(folder)
        context_len = finish_package(
            folder, checkpoint.tokenizer, settings.context_len or DEFAULT_CONTEXT_LEN
        )
        verdict = job.verify(folder, out, context_len, settings)
        return write_manifest(
            folder,
            BuiltPackage(
                backend=backend,
                settings=wanted,
                source=checkpoint,
                hashes=hashes,
                interpreter=interpreter,
                model=facts.completed(checkpoint.tokenizer.chat_template),
                verdict=verdict,
                context_len=context_len,
            ),
        )


def find_interpreter(
    backend: Backend, settings: BackendSettings, on_progress: OnBackendProgress
) -> Interpreter:
    """Return where the backend's tool runs.

    In this order: the interpreter that the user named, edgeagent's environment (created if that
    was asked for), and the running interpreter if it has the backend's extra.

    Raises:
        ConfigError: The user's interpreter will not do.
        MissingExtraError: There is none of them.
        EdgeAgentError: What `create_environment` raises.
    """
    requirements = backend.requirements
    if settings.python is not None:
        return user_interpreter(settings.python, requirements)
    environment = find_environment(requirements)
    if environment is None and settings.create_environment:
        environment = create_environment(requirements, on_progress)
    if environment is not None:
        versions = {
            name: version
            for name, version in environment.versions.items()
            if name in requirements.bounds
        }
        label = f"edgeagent's environment {environment.folder.name}"
        return Interpreter(environment.python, label, versions)
    if (own := this_interpreter(requirements)) is not None:
        return own
    raise no_interpreter(requirements)


class _Export:
    """One export, after everything that can be refused was refused."""

    def __init__(
        self,
        *,
        backend: Backend,
        settings: BackendSettings,
        source: BackendSource,
        python: Path,
        work: Path,
        log: Path,
        on_progress: OnBackendProgress,
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._source = source
        self._work = work
        self._model = work / "model"
        self._on_progress = on_progress
        self._environment = child_environment(work)
        self._python = python
        self._log = log

    def hash(self) -> SourceHashes:
        """SHA-256 of the source and of its parts."""
        total = self._source.size_bytes
        return hash_source(self._source, lambda done: self._on_progress("hash", done, total, ""))

    def prepare_model(self) -> None:
        """Write the folder that the tool reads."""
        source = self._source
        if source.config is not None:
            write_model_folder(
                source.files,
                source.config.values,
                source.tokenizer,
                self._model,
                self._backend.folder_dialect,
            )
            return
        run = self._runner("Dequantizing the GGUF file")
        on_line = report_progress(self._on_progress, "convert")
        run([program("gguf_to_folder"), str(source.path.resolve()), str(self._model)], on_line)
        write_folder_tokenizer(source.tokenizer, self._model)

    def build(self, folder: Path) -> None:
        """Let the tool write its graph into a folder."""
        job = BuildJob(
            model=self._model,
            work=self._work,
            out=folder,
            layers=self._source.layers,
            tokenizer=self._source.tokenizer,
            settings=self._settings,
            run=self._runner(f"The {self._backend.name} backend"),
            on_progress=self._on_progress,
        )
        self._backend.build(job)

    def verify(
        self, folder: Path, out: Path, context_len: int, settings: ExportSettings
    ) -> Verdict:
        """Run the package if this machine can."""
        if self._settings.ep != "cpu":
            return Verdict(f"not run here: made for {self._settings.ep}")
        if settings.verify == "none":
            return Verdict("none")
        self._on_progress("load", 0, 1, "")
        runtime = check_runtime(folder)
        self._on_progress("load", 1, 1, "")
        if settings.verify == "load":
            return Verdict("load")
        fidelity = measure_fidelity(
            folder,
            self._model,
            self._work,
            tokenizer=self._source.tokenizer,
            tokens=settings.verify_tokens,
            context_len=min(context_len, short_context(read_config(self._model)) or context_len),
            runtime=runtime,
            run=self._runner("The reference"),
            on_progress=self._on_progress,
        )
        precision, forced = self._settings.precision, settings.accept_low_fidelity
        return Verdict("full", fidelity, judge_package(fidelity, precision, out, forced=forced))

    def _runner(self, what: str) -> RunChild:
        def run(arguments: Sequence[str], on_line: Callable[[str], None]) -> None:
            run_child(
                isolated(self._python, arguments),
                what=what,
                log=self._log,
                environment=self._environment,
                cwd=self._work,
                on_line=on_line,
            )

        return run


def _require_extra() -> None:
    try:
        import gguf
        import onnx
        import tokenizers
    except ImportError as error:
        raise MissingExtraError(
            f"Exporting needs the package {error.name}; run: pip install 'edgeagent[export]'"
        ) from error
    del gguf, onnx, tokenizers

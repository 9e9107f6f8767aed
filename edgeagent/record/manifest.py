"""The manifest of a package: where it comes from, what is in it, and how faithful it is."""

from __future__ import annotations

import re

from pydantic import Field

from edgeagent.record.base import Record

MANIFEST_NAME = "manifest.json"
ADAPTER_FOLDER = "adapters"
"""Folder of the adapters in a package."""

_ADAPTER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DEVICE_NAMES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")
"""Of Windows, where no file may be called so."""


def is_adapter_name(name: str) -> bool:
    """Whether this can be the name of an adapter, which is the name of its file too."""
    return _ADAPTER_NAME.fullmatch(name) is not None and _DEVICE_NAMES.fullmatch(name) is None


class SourceRecord(Record):
    """The checkpoint that a package was exported from.

    Attributes:
        file: Name of the file or folder, without where it lies.
        sha256: Of the file; of several files, that of the lines `sha256sum` prints for them.
        size_bytes: Of all files.
        origin: Where the weights came from, such as a wheel, a hub repository or `local file`.
        architecture: As the file names it.
        name: Model name as the file gives it, may be empty.
        license: SPDX id where known, else what the file says, else empty.
        parts: SHA-256 of each weight file by name where there are several.
    """

    file: str
    sha256: str
    size_bytes: int
    origin: str
    architecture: str
    name: str = ""
    license: str = ""
    parts: dict[str, str] = Field(default_factory=dict)


class TensorGroup(Record):
    """How one group of tensors was stored.

    Attributes:
        group: `embedding`, `attention`, `mlp`, `head` or `norm`.
        source_types: Block types in the source and how many tensors had each.
        stored_as: Precision in the package, such as `int4 block 32 + correction`.
        tensors: Number of source tensors.
        size_bytes: Bytes in the package, shared data counted once.
        exact: Whether the stored values equal the dequantized source values.
    """

    group: str
    source_types: dict[str, int]
    stored_as: str
    tensors: int
    size_bytes: int
    exact: bool


class Fidelity(Record):
    """The package's logits against a reference computed from the source file.

    Attributes:
        reference: How the reference was computed.
        tokens: Number of positions compared.
        perplexity_source: Perplexity of the reference on the sample text.
        perplexity_package: Perplexity of the package on the same tokens.
        kl_mean: Mean Kullback-Leibler divergence, nats per token, reference to package.
        top1_agreement: Share of positions where both put the same token first.
        tokenizer_texts: Number of sample texts that both tokenizers agree on (all of them).
        top1_tied_agreement: Share of positions where the package's first token is the reference's
            first or as likely there within 0.1 nats; `None` if not measured.
        perplexity_change_error: Standard error of the change of perplexity, paired by position;
            `None` if not measured.
        tool_calls: Number of questions for which a tool was picked.
        tool_call_agreement: Share of them where both picked the same, or the package one that the
            reference likes as much within 0.1 nats; `None` if not measured.
    """

    reference: str
    tokens: int
    perplexity_source: float
    perplexity_package: float
    kl_mean: float
    top1_agreement: float
    tokenizer_texts: int
    top1_tied_agreement: float | None = None
    perplexity_change_error: float | None = None
    tool_calls: int = 0
    tool_call_agreement: float | None = None

    @property
    def perplexity_change(self) -> float:
        """Relative change of perplexity, 0.01 is one percent worse."""
        return self.perplexity_package / self.perplexity_source - 1


class Thresholds(Record):
    """What a package must reach to be written.

    Attributes:
        top1_agreement: At least, where ties count as agreement if they were looked for.
        kl_mean: At most, nats per token.
        perplexity_change: At most, up or down, within its error; 0.01 is one percent.
        tool_call_agreement: At least, where it was measured.
    """

    top1_agreement: float
    kl_mean: float
    perplexity_change: float
    tool_call_agreement: float


class Gate(Record):
    """The verdict on a package.

    Attributes:
        thresholds: What was asked for.
        passed: Whether every threshold is met.
        missed: What was not, in words.
        forced: Whether the package was to be kept in any case.
    """

    thresholds: Thresholds
    passed: bool
    missed: tuple[str, ...] = ()
    forced: bool = False


class ExportCost(Record):
    """What an export needs, as predicted before it began.

    Attributes:
        package_bytes: Disk.
        rss_peak_bytes: Resident memory at the peak.
        time_s: Wall time.
    """

    package_bytes: int
    rss_peak_bytes: int
    time_s: float


class AdapterRecord(Record):
    """A LoRA adapter in a package.

    Attributes:
        name: What a session asks for.
        file: Its path inside the package.
        source: Name of the folder or file that it was exported from.
        sha256: Of the weight file there.
        base_model: The model that it was trained on as it says itself, may be empty.
        rank: The largest of its ranks.
        scale: Factor on its products, which the file has multiplied in.
        targets: Roles of the linear layers that it changes: `q`, `k`, `v`, `o`, `gate`, `up`,
            `down`.
        size_bytes: Of the file in the package.
    """

    name: str
    file: str
    source: str
    sha256: str
    base_model: str = ""
    rank: int
    scale: float
    targets: tuple[str, ...]
    size_bytes: int


class Manifest(Record):
    """What `manifest.json` in a package says.

    Attributes:
        schema_version: Version of this record.
        model_id: Recipe id, or the file's stem for a local file.
        edgeagent_version: Version that wrote the package.
        created_utc: ISO 8601.
        source: The source file.
        recipe: The export settings: exporter, policy, context length, accuracy level and so on.
        tensor_groups: Precision per group.
        tool_versions: Versions of the libraries that took part.
        files: Size in bytes of every other file of the package, by its path with forward slashes.
        parameters: Number of weights, shared ones counted once.
        context_len: Longest context in tokens.
        kv_bytes_per_token: Computed bytes of KV cache per token.
        tool_call_format: Name of the tool-call format that the model is used with.
        fidelity: The verification, `None` if it was skipped on request.
        gate: The verdict, `None` without a verification.
        predicted: What the export was predicted to need, `None` if nothing was predicted.
        export_s: Wall time that it took, `None` if not measured.
        adapters: LoRA adapters that a session can activate.
    """

    schema_version: int = 1
    model_id: str
    edgeagent_version: str
    created_utc: str
    source: SourceRecord
    recipe: dict[str, str | int | float | bool]
    tensor_groups: tuple[TensorGroup, ...]
    tool_versions: dict[str, str]
    files: dict[str, int]
    parameters: int
    context_len: int
    kv_bytes_per_token: int
    tool_call_format: str
    fidelity: Fidelity | None = None
    gate: Gate | None = None
    predicted: ExportCost | None = None
    export_s: float | None = None
    adapters: tuple[AdapterRecord, ...] = ()

    @property
    def package_bytes(self) -> int:
        """Size of the package without the manifest itself."""
        return sum(self.files.values())

"""Device profiles: what a kind of machine is, can do at most, and measures about itself.

A profile is one TOML file in `profiles/devices/`, named after its id. Every figure carries the
source that it was taken from; what nobody publishes is left out, which means unknown. The ceilings
are what makers state for the hardware, not what a program reaches.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeAlias, TypeVar

from pydantic import Field, StringConstraints, model_validator

from edgeagent.config.spec import Spec

ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,63}$"
"""Ids are file stems on every platform."""

Text: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)
]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Bytes: TypeAlias = Annotated[int, Field(strict=True, gt=0)]
Flag: TypeAlias = Annotated[bool, Field(strict=True)]

ValueT = TypeVar("ValueT")


class Sourced(Spec):
    """Something that was taken from somewhere."""

    source: Text
    """Citation: title and section of a document, or a file of a public repository."""
    note: str = Field(default="", max_length=300)
    """What limits the statement."""


class Value(Sourced, Generic[ValueT]):
    """One value and where it was taken from."""

    value: ValueT


class Match(Spec):
    """How such a machine is recognised.

    Patterns are those of a shell (`*`, `?`, `[abc]`), stand for the whole text and ignore case.
    The architecture must fit if one is given; of the others, one that fits is enough.
    """

    architecture: tuple[Text, ...] = ()
    """Machine architectures as Linux names them: `aarch64`, `x86_64`."""
    compatible: tuple[Text, ...] = ()
    """Patterns of entries of `compatible` at the root of the device tree."""
    board: tuple[Text, ...] = ()
    """Patterns of `model` at the root of the device tree."""
    product: tuple[Text, ...] = ()
    """Patterns of the DMI names, system vendor and product with a space between them."""
    cpu: tuple[Text, ...] = ()
    """Patterns of the processor's name."""


class Memory(Spec):
    """Main memory."""

    size_bytes: Value[Bytes] | None = None
    """What is built in; the system has less."""
    bandwidth_bytes_per_s: Value[Positive] | None = None
    """Transfer rate times width of the bus: no program reaches it."""
    kind: Value[Text] | None = None
    """Such as `LPDDR5, 128 bit`."""
    unified: Value[Flag] | None = None
    """Whether the processors share it, so that memory of the GPU is no memory in addition."""


class Compute(Sourced):
    """Highest rate of multiplications and additions, counted as two operations each."""

    processor: Literal["cpu", "gpu", "npu", "dla", "all"]
    """`all`: the makers state the sum over processors only."""
    precision: Literal["int8", "int4", "fp4", "fp8", "fp16", "bf16", "fp32", "unstated"]
    value: Positive
    """Operations per second."""
    sparsity: Literal["dense", "sparse", "unstated"]
    """`sparse`: counts products with zeros of 2:4 structured sparsity, which no LLM here has."""
    power_mode: Text | None = None
    """Name of the power mode in which it holds, `None` if none is stated."""


class PowerMode(Sourced):
    """A setting of the whole module that limits its power."""

    name: Text
    id: Annotated[int, Field(strict=True, ge=0)] | None = None
    """Number, as `nvpmodel` takes it."""
    power_w: Positive | None = None
    """Budget in watts, `None` if it is not limited or not stated."""
    bandwidth_bytes_per_s: Positive | None = None
    """Peak transfer rate of memory where the mode lowers it, `None` if it does not."""


class Rail(Sourced):
    """A supply rail with a sensor."""

    sensor: Literal["ina3221", "ina238"]
    """Family of the sensor, as its driver names it."""
    label: Text
    """Exact label."""
    other_labels: tuple[Text, ...] = ()
    """Exact labels of the same rail in other versions of the system."""
    covers: Text
    """What draws its power from the rail."""
    total: Literal["module", "system"] | None = None
    """Of what the rail is a summand: `module`, or `system` if the carrier board is within."""
    inside: Text | None = None
    """Label of the rail that the power of this one comes from, `None` if from none of the list."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All exact labels, the one of the newest system first."""
        return (self.label, *self.other_labels)


class EnergySource(Sourced):
    """A source of energy or power readings other than rails."""

    kind: Literal["rapl", "battery", "emi", "powermetrics", "pmic", "nvml", "external"]
    covers: Text


class Provider(Sourced):
    """An execution provider of onnxruntime that makers or runtime support on the device."""

    ep: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
    """Name as in `--ep`, or the runtime's name in lower case where there is no such option."""
    package: Text | None = None
    """Python distribution that brings it, `None` if there is none to install."""


class Variant(Spec):
    """One of several versions of the device; what it states stands before the profile's."""

    id: str = Field(pattern=ID_PATTERN)
    name: Text
    match: Match
    memory: Memory | None = None
    """Replaces the profile's key by key."""
    compute: tuple[Compute, ...] = ()
    """Replaces the profile's as a whole, if there is any."""
    power_mode: tuple[PowerMode, ...] = ()
    """Replaces the profile's as a whole, if there is any."""


class DeviceProfile(Spec):
    """One kind of machine."""

    id: str = Field(pattern=ID_PATTERN)
    """The file's stem."""
    name: Text
    vendor: Text
    match: Match
    soc: Value[Text] | None = None
    """Name of the chip."""
    cpu: Value[Text] | None = None
    """Cores."""
    gpu: Value[Text] | None = None
    npu: Value[Text] | None = None
    memory: Memory = Memory()
    compute: tuple[Compute, ...] = ()
    power_mode: tuple[PowerMode, ...] = ()
    rail: tuple[Rail, ...] = ()
    energy: tuple[EnergySource, ...] = ()
    provider: tuple[Provider, ...] = ()
    variant: tuple[Variant, ...] = ()

    @model_validator(mode="after")
    def _rails_are_distinct(self) -> DeviceProfile:
        labels = [label for rail in self.rail for label in rail.labels]
        if repeated := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"rail labels appear twice: {', '.join(repeated)}")
        return self

    @model_validator(mode="after")
    def _no_rail_is_counted_twice(self) -> DeviceProfile:
        by_label = {rail.label: rail for rail in self.rail}
        for rail in self.rail:
            if rail.inside is None:
                continue
            outer = by_label.get(rail.inside)
            if outer is None:
                raise ValueError(f"rail {rail.label} is inside {rail.inside}, which is no rail")
            if outer is rail or outer.inside is not None:
                raise ValueError(f"rail {rail.label} must be inside a rail that is inside none")
            if rail.total is not None and rail.total == outer.total:
                raise ValueError(f"rails {rail.label} and {rail.inside} would be added twice")
        return self

    @model_validator(mode="after")
    def _variants_are_distinct(self) -> DeviceProfile:
        ids = [variant.id for variant in self.variant]
        if repeated := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"variant ids appear twice: {', '.join(repeated)}")
        return self

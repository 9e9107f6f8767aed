"""Numbers with units: exact, and only sums of like with like."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal, Inexact, localcontext
from fractions import Fraction

from edgeagent.agent.tools.units import Dimensions, Unit, combine, dimensions, kind
from edgeagent.errors import ToolError

MAX_BITS = 1024
"""Size of numerator and denominator: enough for any honest sum, small enough to stay fast."""
_EXACT_DIGITS = 400
"""More than a whole number of `MAX_BITS` bits has."""
_MOST_DIGITS = 20
"""Of an exact number that is shown whole."""
_MOST_MEASURED_DIGITS = 10
_MEASURED_DIGITS = 7
"""Nobody measures better than that, and small models garble long numbers."""
_BASE_UNITS = {
    "length": "m",
    "mass": "kg",
    "time": "s",
    "temperature": "K",
    "data": "bit",
    "calendar": "month",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number, with a unit or without.

    Attributes:
        value: In base units, see `Unit`.
        unit: How to show it; `None` for a plain number, or if nobody named a unit of its kind.
        dims: What it is; `()` is a plain number.
    """

    value: Fraction
    unit: Unit | None = None
    dims: Dimensions = ()

    @classmethod
    def of(cls, number: Fraction, unit: Unit) -> Quantity:
        """Return so many of a unit."""
        return cls(_bounded(number * unit.factor + unit.offset), unit, unit.dims)

    def plus(self, other: Quantity, sign: int = 1) -> Quantity:
        """Return the sum, or the difference if `sign` is -1; the unit is that of the first."""
        self._same_kind(other)
        self._no_degrees(other)
        return replace(self, value=_bounded(self.value + sign * other.value))

    def times(self, other: Quantity) -> Quantity:
        """Return the product."""
        return self._made(self.value * other.value, combine(self.dims, other.dims), other)

    def over(self, other: Quantity) -> Quantity:
        """Return the quotient.

        Raises:
            ToolError: Division by zero.
        """
        self._not_zero(other)
        dims = combine(self.dims, other.dims, -1)
        made = self._made(self.value / other.value, dims, other)
        if made.unit or not (dims and self.unit and other.unit):
            return made
        label = f"{self.unit.label}/{other.unit.label}"
        return replace(made, unit=Unit(label, self.unit.factor / other.unit.factor, dims))

    def floor_over(self, other: Quantity) -> Quantity:
        """Return how often `other` is in it as a whole."""
        self._same_kind(other)
        self._not_zero(other)
        return Quantity(Fraction(self.value // other.value))

    def modulo(self, other: Quantity) -> Quantity:
        """Return what is left after taking `other` as often as it fits."""
        self._same_kind(other)
        self._not_zero(other)
        return replace(self, value=_bounded(self.value % other.value))

    def negated(self) -> Quantity:
        """Return the opposite: of 40 °C that is -40 °C."""
        if self.unit is not None and self.unit.offset:
            return Quantity.of(-self.in_unit(), self.unit)
        return replace(self, value=-self.value)

    def power(self, exponent: Fraction) -> Quantity:
        """Return it to a whole power, or to 1/2."""
        if exponent == Fraction(1, 2):
            return self.root()
        if exponent.denominator != 1:
            raise ToolError("only whole exponents and 1/2 can be computed exactly")
        if self.value == 0 and exponent < 0:
            raise ToolError("division by zero")
        bits = max(self.value.numerator.bit_length(), self.value.denominator.bit_length())
        if abs(exponent) * bits > MAX_BITS:
            raise ToolError("the result is too large")
        return self._made(
            Fraction(self.value ** int(exponent)), combine((), self.dims, int(exponent)), self
        )

    def root(self) -> Quantity:
        """Return the square root; exact if it is a fraction, else to 40 digits."""
        if any(power % 2 for _, power in self.dims):
            raise ToolError(f"{kind(self.dims)} has no square root")
        halves = dimensions(**{name: power // 2 for name, power in self.dims})
        return self._made(_root(self.value), halves, self)

    def rounded(self, digits: Fraction = Fraction(0)) -> Quantity:
        """Return it rounded to so many digits in its unit."""
        number = _round(self.in_unit(), digits)
        return Quantity.of(number, self.unit) if self.unit else replace(self, value=number)

    def converted(self, unit: Unit) -> Quantity:
        """Return the same in another unit.

        Raises:
            ToolError: The unit measures something else.
        """
        if self.dims != unit.dims:
            if {kind(self.dims), kind(unit.dims)} == {"a time", "a number of calendar months"}:
                raise ToolError("months and years have no fixed number of days; use dates for them")
            raise ToolError(
                f"{self.text()} is {kind(self.dims)} and {unit.label} is {kind(unit.dims)}"
            )
        return replace(self, unit=unit)

    def in_unit(self) -> Fraction:
        """Return the number that is shown before the unit."""
        if self.unit is None:
            return self.value
        return (self.value - self.unit.offset) / self.unit.factor

    def text(self) -> str:
        """Return number and unit."""
        if not self.dims:
            return format_exact(self.value)
        label = self.unit.label if self.unit else _base_label(self.dims)
        return f"{format_exact(self.in_unit(), _MEASURED_DIGITS, _MOST_MEASURED_DIGITS)} {label}"

    def _made(self, value: Fraction, dims: Dimensions, other: Quantity) -> Quantity:
        self._no_degrees(other)
        units = (part.unit for part in (self, other))
        return Quantity(
            _bounded(value),
            next((unit for unit in units if unit and unit.dims == dims), None),
            dims,
        )

    def _same_kind(self, other: Quantity) -> None:
        if self.dims != other.dims:
            raise ToolError(
                f"{self.text()} is {kind(self.dims)} and {other.text()} is {kind(other.dims)}"
            )

    def _no_degrees(self, other: Quantity) -> None:
        if any(part.unit and part.unit.offset for part in (self, other)):
            raise ToolError(
                "degrees can be converted, but not computed with; compute with the numbers alone"
            )

    @staticmethod
    def _not_zero(other: Quantity) -> None:
        if other.value == 0:
            raise ToolError("division by zero")


def format_exact(value: Fraction, digits: int = 10, most_digits: int = _MOST_DIGITS) -> str:
    """Return a number as a plain decimal, exact up to `most_digits` digits, else to `digits`.

    There is no exponent and no thousands separator.
    """
    numerator, denominator = Decimal(value.numerator), Decimal(value.denominator)
    with localcontext(prec=_EXACT_DIGITS) as context:
        quotient = numerator / denominator
        long = value.denominator > 1 and len(quotient.as_tuple().digits) > most_digits
        if context.flags[Inexact] or long:
            context.prec = digits
            quotient = numerator / denominator
        return f"{quotient.normalize():f}"


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ToolError("the result is too large")
    return value


def _root(value: Fraction) -> Fraction:
    if value < 0:
        raise ToolError("the square root of a negative number is not a real number")
    numerator, denominator = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if numerator**2 == value.numerator and denominator**2 == value.denominator:
        return Fraction(numerator, denominator)
    # Irrational: correct to 40 digits, then rounded for display like every other result.
    scale = 10**40
    return Fraction(math.isqrt(value.numerator * scale**2 // value.denominator), scale)


def _round(value: Fraction, digits: Fraction) -> Fraction:
    if digits.denominator != 1 or abs(digits) > 20:
        raise ToolError("round takes a whole number of digits up to 20")
    # Half away from zero, as people round; Python's own round goes to the even neighbour.
    scale = Fraction(10) ** int(digits)
    rounded = math.floor(abs(value) * scale + Fraction(1, 2)) / scale
    return rounded if value >= 0 else -rounded


def _base_label(dims: Dimensions) -> str:
    parts = (_BASE_UNITS[name] + (f"^{power}" if power != 1 else "") for name, power in dims)
    return " ".join(parts)

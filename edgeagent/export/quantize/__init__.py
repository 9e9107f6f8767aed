"""Rounding float weights to 4 or 8 bits with the least squared error per block."""

from edgeagent.export.quantize.calibration import InputStatistics, calibration_text
from edgeagent.export.quantize.rows import QuantizedRows, quantize_rows
from edgeagent.export.quantize.scheme import Offset, Scheme

__all__ = [
    "InputStatistics",
    "Offset",
    "QuantizedRows",
    "Scheme",
    "calibration_text",
    "quantize_rows",
]

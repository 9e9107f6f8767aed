"""Meters: one small file per source of memory, energy or power readings."""

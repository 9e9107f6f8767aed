"""Benchmark of the raw engine and of the device's own ceilings."""

"""Copies of a sensor tree: recorded on one machine, played back on another."""

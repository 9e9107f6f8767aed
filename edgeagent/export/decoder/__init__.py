"""A decoder as the exporter sees it: sizes, positions, and where each weight lies."""

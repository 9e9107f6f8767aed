"""Frozen records of what happened: spans, samples, outcomes, manifests and run files.

The lowest layer that everything else shares. Records hold raw nanoseconds and token counts; every
metric is derived from them later (`edgeagent.report`), so an old run file can be analysed again.
"""

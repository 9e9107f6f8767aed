"""Profiling: run paradigms over a suite, sample the process, keep every record."""

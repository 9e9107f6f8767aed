"""Energy of a run: attributed to spans, phases, agents, task runs and paradigms, and reported."""

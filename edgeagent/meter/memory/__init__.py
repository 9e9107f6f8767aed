"""Sources of memory readings: of processes, of the system and of accelerators."""

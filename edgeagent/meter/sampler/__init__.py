"""The sampler: a process of its own that reads meters at a steady pace."""

"""The measuring protocol: when to stop, how to rest, what the machine itself did meanwhile."""

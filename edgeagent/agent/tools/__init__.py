"""Tools that agents may call; each is small, offline and describes itself by a JSON Schema."""

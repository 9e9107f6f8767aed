"""GGUF files, whole or split into parts, as a source of weights."""

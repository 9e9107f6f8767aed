"""Checkpoints: the file formats that weights come in, read defensively and by memory map."""

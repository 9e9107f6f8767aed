"""Verification: a package must load, tokenize and predict like the file it came from."""

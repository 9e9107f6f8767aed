"""Engines run a package: `protocol` says how, `genai` does it for real, `scripted` for tests."""

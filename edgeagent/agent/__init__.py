"""Agents: chat formats, tools, and the paradigms that combine them."""

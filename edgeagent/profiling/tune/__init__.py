"""Searching the settings of the runtime that are best for a goal on this device."""

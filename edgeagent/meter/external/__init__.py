"""Meters outside the device: recordings of power analysers and meters on the local network."""

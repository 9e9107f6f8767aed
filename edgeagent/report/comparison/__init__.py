"""Comparing runs: is one faster, leaner or better than another, beyond what the machine did?"""

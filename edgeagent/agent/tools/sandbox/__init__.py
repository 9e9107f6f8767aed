"""Confinement of a process by the operating system (Linux), for code that nobody has read.

`process.run_confined` starts an interpreter that confines itself, layer by layer, before it looks
at the code (`confine`). Its modules need the standard library alone, so that it starts fast.
"""

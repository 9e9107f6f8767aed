"""Other exporters behind the same command, each in an environment of its own.

`export.export_with_backend` is the way in; `builder.py` and `optimum.py` are one backend each.
Nothing here imports torch: the tools run as child processes.
"""

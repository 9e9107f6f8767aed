"""Profile a small language model on this machine, with nothing but Python installed.

    python3 scripts/quickstart.py [OPTIONS OF `edgeagent profile`]

Makes the virtual environment `.venv` beside `pyproject.toml`, installs edgeagent into it and runs
`edgeagent profile`. With no options this downloads SmolLM2-135M-Instruct (100 MB), exports it to a
quantized ONNX package and measures it as base model, single agent and several agents. A second call
uses what is there.
"""

from __future__ import annotations

import sys

from environment import SetupError, fail, hand_over, prepare


def main() -> None:
    """See the module."""
    try:
        python = prepare()
    except SetupError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.exit(130)
    # -P: a folder named edgeagent where the user happens to be must not be taken for the package.
    hand_over([python, "-P", "-m", "edgeagent", "profile", *sys.argv[1:]])


if __name__ == "__main__":
    main()

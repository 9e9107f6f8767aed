"""The exception tree and the exit codes of the command line.

::

    EdgeAgentError            1
    ├── ConfigError           2   bad argument, recipe, suite or profile file
    ├── SourceError           3   weights cannot be found, downloaded or verified
    ├── ExportError           4   the source cannot be turned into a package
    │   ├── DamagedFileError  4   truncated, inconsistent or hostile file
    │   ├── UnsupportedError  4   architecture, block type or tokenizer not known
    │   └── VerificationError 4   the written package does not match its source
    ├── ResourceError         5   not enough disk, memory or context
    ├── EngineError           6   the runtime refused to load or run a package
    ├── ToolError             7   a tool was called wrongly or failed
    ├── RunDataError          8   a run folder cannot be read or does not fit
    └── MissingExtraError     9   an optional dependency is not installed

Every message is one sentence for a person: what is wrong, where, and what to do about it. Only the
command line turns these into messages and exit codes; library code raises them and never prints.
`compare --fail-on-regression` ends with 10 if a run is worse than its reference.
Ctrl-C is not an error of ours: the command line exits with 130 after finished work is saved.
"""

from __future__ import annotations

INTERRUPTED_EXIT_CODE = 130


class EdgeAgentError(Exception):
    """Base of every error that edgeagent raises on purpose; `str(error)` is the whole message."""

    exit_code = 1


class ConfigError(EdgeAgentError):
    """An argument, recipe, suite or profile file is not valid."""

    exit_code = 2


class SourceError(EdgeAgentError):
    """Model weights cannot be found, downloaded or verified."""

    exit_code = 3


class ExportError(EdgeAgentError):
    """A model source cannot be turned into a package."""

    exit_code = 4


class DamagedFileError(ExportError):
    """A file is truncated, inconsistent or hostile."""


class UnsupportedError(ExportError):
    """A model uses an architecture, block type or tokenizer that is not supported."""


class VerificationError(ExportError):
    """A written package does not behave like its source."""


class ResourceError(EdgeAgentError):
    """The device has not enough disk, memory or context for what was asked."""

    exit_code = 5


class EngineError(EdgeAgentError):
    """The runtime refused to load or to run a package."""

    exit_code = 6


class ToolError(EdgeAgentError):
    """A tool was called with wrong arguments or failed; agents show the message to the model."""

    exit_code = 7


class RunDataError(EdgeAgentError):
    """A run folder cannot be read, or belongs to another configuration."""

    exit_code = 8


class MissingExtraError(EdgeAgentError):
    """An optional dependency is not installed; the message names the extra to install."""

    exit_code = 9

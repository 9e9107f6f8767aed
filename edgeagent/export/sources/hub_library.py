"""What downloads from a hub share: huggingface_hub without telemetry, its errors in words."""

from __future__ import annotations

import os

from edgeagent.errors import MissingExtraError, SourceError
from edgeagent.privacy import disable_dependency_telemetry

_UNAUTHORIZED = 401
"""What the hub answers to strangers where there is no repository, or a private one."""


def require_hub_library() -> None:
    """Import huggingface_hub with its telemetry off.

    Raises:
        MissingExtraError: It is not installed.
    """
    disable_dependency_telemetry()
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(
            "Downloading from a hub needs the package huggingface_hub; install it with"
            " `pip install 'edgeagent[export]'`."
        ) from error
    del huggingface_hub


def hub_endpoint() -> str | None:
    """Return the hub that `HF_ENDPOINT` names, `None` for the library's own.

    The library reads the variable once, at import; reading it here honours a later change too.
    """
    return os.environ.get("HF_ENDPOINT") or None


def explain(error: Exception, repo: str, absent: str) -> SourceError:
    """Turn what the library raises into a clause for a person.

    Args:
        error: What was raised by a request about the repository.
        repo: Its name.
        absent: What to say if the repository has no such revision or file.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return SourceError(
            f"{repo} is gated; accept its terms on the hub and log in with `hf auth login`"
        )
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if isinstance(error, errors.RepositoryNotFoundError) or status == _UNAUTHORIZED:
        return SourceError(
            f"there is no repository {repo}, or it is private and needs `hf auth login`"
        )
    if isinstance(error, errors.DisabledRepoError):
        return SourceError(f"access to {repo} was disabled; take another repository")
    if isinstance(error, errors.RevisionNotFoundError | errors.EntryNotFoundError):
        return SourceError(absent)
    return SourceError(
        f"the hub cannot be reached ({brief(error)}); connect to the network, or copy the weights"
        " to this machine and give their path"
    )


def brief(error: Exception) -> str:
    """Return the first line of a message that may go on for many."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

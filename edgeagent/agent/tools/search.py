"""The document search by its former names; see `edgeagent.agent.tools.documents`."""

from __future__ import annotations

from edgeagent.agent.tools.documents.index import DocumentIndex
from edgeagent.agent.tools.documents.search import DocumentSearch

__all__ = ["DocumentIndex", "DocumentSearch"]

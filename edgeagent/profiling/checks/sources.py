"""The rule for sources: the answer is right, and the document that says so was read for it."""

from __future__ import annotations

from edgeagent.config.checks import SourcedCheck
from edgeagent.profiling.checks.phrases import match_solved
from edgeagent.record.outcome import Outcome


def sourced_solved(check: SourcedCheck, outcome: Outcome) -> bool:
    """Apply the rule (see the module); a page number behind a document's name is no difference."""
    read = {source.partition(", page ")[0] for source in outcome.sources}
    return match_solved(check, outcome.answer) and not read.isdisjoint(check.sources)

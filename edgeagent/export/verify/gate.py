"""The gate: how faithful a package must be to be written."""

from __future__ import annotations

from pathlib import Path

from edgeagent.errors import VerificationError
from edgeagent.record.manifest import Fidelity, Gate, Thresholds


def judge(fidelity: Fidelity, thresholds: Thresholds, *, forced: bool) -> Gate:
    """Hold the figures against the thresholds.

    Args:
        fidelity: Of the package.
        thresholds: Of its policy.
        forced: Whether the package is kept all the same.
    """
    missed = []
    top1 = fidelity.top1_tied_agreement
    top1 = fidelity.top1_agreement if top1 is None else top1
    if not top1 >= thresholds.top1_agreement:  # also where it is no number
        missed.append(f"top-1 agreement {top1:.3f} < {thresholds.top1_agreement}")
    if not fidelity.kl_mean <= thresholds.kl_mean:
        missed.append(f"KL divergence {fidelity.kl_mean:.4f} > {thresholds.kl_mean}")
    # A change counts if it is larger than two standard errors beyond what is allowed.
    noise = 2 * (fidelity.perplexity_change_error or 0.0)
    if not abs(fidelity.perplexity_change) - noise <= thresholds.perplexity_change:
        missed.append(
            f"perplexity changed by {fidelity.perplexity_change:+.1%}, more than"
            f" {thresholds.perplexity_change:.0%}"
        )
    agreement = fidelity.tool_call_agreement
    if agreement is not None and agreement < thresholds.tool_call_agreement:
        missed.append(
            f"same tool picked in {agreement:.0%} < {thresholds.tool_call_agreement:.0%} of"
            f" {fidelity.tool_calls} questions"
        )
    return Gate(thresholds=thresholds, passed=not missed, missed=tuple(missed), forced=forced)


def require_passed(gate: Gate, package: Path) -> None:
    """Refuse a package that is not faithful, unless that was asked for.

    Raises:
        VerificationError: A threshold is missed.
    """
    if not gate.passed and not gate.forced:
        raise VerificationError(
            f"The package for {package} does not predict like its source"
            f" ({'; '.join(gate.missed)}); nothing was written. --force keeps it all the same,"
            " --policy exact keeps more."
        )

"""A warning where a result is less than was hoped for."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from streamsparse.errors import StreamSparseWarning
from streamsparse.methods.measuring import REMEDY, certified_error
from streamsparse.methods.plans import ENTRY_TARGETS
from streamsparse.units import format_bytes

if TYPE_CHECKING:
    from streamsparse.results.result import Result


def warn_if_missed(result: Result) -> None:
    """Say so where epsilon is not certified: with the best found, and what would do.

    And where nothing could be measured: for lack of memory, or because rounding hides it.
    """
    if result.certificate.checked_rows == 0:
        warnings.warn(
            f"nothing could be measured within {format_bytes(result.plan.memory_budget)}: the "
            f"errors of Y are unknown; raise memory, or check it with certify",
            StreamSparseWarning,
            stacklevel=4,
        )
    elif result.certificate.entry_error is None and result.certificate.preprocess.center:
        warnings.warn(
            f"the errors of single rows are not known: centring leaves less of X than the rounding "
            f"of its products in {result.plan.dtype}; {REMEDY}",
            StreamSparseWarning,
            stacklevel=4,
        )
    if result.certificate.epsilon is not None and not result.certificate.met:
        warnings.warn(_describe_miss(result), StreamSparseWarning, stacklevel=4)


def _describe_miss(result: Result) -> str:
    certificate, plan = result.certificate, result.plan
    measured = certified_error(certificate.errors, plan.target)
    if measured is None:
        if result.plan.checked_rows == certificate.n:
            what = (
                "the rounding of products of float32 hides it, because directions of X differ too "
                "much in size; give X as float64"
            )
        elif certificate.checked_rows == 0:
            what = "no row could be compared within memory; raise it"
        elif plan.target in ENTRY_TARGETS:
            what = f"only {plan.checked_rows:,} rows could be compared within memory; raise it"
        elif plan.target == "spectral":
            what = (
                "ss.certify(X, result, spectral=3) bounds it in more passes, exact=True computes it"
            )
        else:
            what = "raise memory for a wider sketch, or ss.certify(X, result, exact=True)"
        return (
            f"whether the {plan.target} error is within epsilon = {plan.epsilon:g} was not "
            f"certified in this pass: {what}"
        )
    assert plan.epsilon is not None
    text = (
        f"the {plan.target} error is certified to be at most {measured.value:.3g}, not "
        f"epsilon = {plan.epsilon:g}; this is the best found, with m = {certificate.m:,}"
    )
    logits = certificate.beta * certificate.r
    if plan.target == "attention" and measured.value >= 2:
        return (
            f"{text}; logits reach beta r = {logits:.4g}, where rounding decides: take a smaller "
            f"beta, or target='entries' (--target entries)"
        )
    remedies = [] if plan.method == "exact" else ['use method="exact" (--method exact)']
    columns = plan.sketch_columns or plan.most_columns
    if columns is not None and plan.method != "exact":
        # Errors of random methods fall as 1 / sqrt(columns).
        ratio = min(measured.value / plan.epsilon, 1e9)
        needed = columns * ratio**2
        if needed <= plan.d:
            memory = plan.stream.peak_memory_bytes * needed / columns
            remedies.insert(
                0, f"allow about {needed:,.0f} columns (memory={format_bytes(memory)!r})"
            )
    return f"{text}; {' or '.join(remedies)}" if remedies else text

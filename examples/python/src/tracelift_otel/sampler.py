"""Turns DROP into RECORD_ONLY, so that the spans of dropped traces exist."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes


class HoldingSampler(Sampler):
    """Decides as ``root`` does, and records what that one drops; what is released already is sampled."""

    def __init__(self, root: Sampler, is_released: Callable[[int], bool]) -> None:
        self._root = root
        self._is_released = is_released

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        result = self._root.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP:
            return result
        decision = Decision.RECORD_AND_SAMPLE if self._is_released(trace_id) else Decision.RECORD_ONLY
        # A dropping sampler leaves the attributes out, which a span that may be exported needs.
        return SamplingResult(decision, attributes, result.trace_state)

    def get_description(self) -> str:
        return f"Tracelift{{{self._root.get_description()}}}"

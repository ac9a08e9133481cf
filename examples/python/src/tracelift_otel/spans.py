"""What is read from a span that ended, and the span that is exported instead of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from tracelift_otel import wire

TRIGGER = "tracelift.upgrade.trigger"
PRIORITY = "sampling.priority"

#: The stable semantic conventions, and those before.
_STATUS_CODES = ("http.response.status_code", "http.status_code")


def is_sampled(context: SpanContext | None) -> bool:
    """Whether the span is exported anyway."""
    return bool(context and context.trace_flags.sampled)


def has_failed(span: ReadableSpan) -> bool:
    """Status ERROR or an exception; an answer of 4xx to a call is neither, whatever the conventions make of it."""
    if any(event.name == "exception" for event in span.events):
        return True
    if span.status.status_code is not StatusCode.ERROR:
        return False
    return not (span.kind is SpanKind.CLIENT and 400 <= _status_of(span) < 500)


def signal_of(span: ReadableSpan, trace_id: int) -> wire.Verdict | None:
    """What the answer to the call said, where the client's instrumentation records the header."""
    value = (span.attributes or {}).get(wire.SIGNAL_ATTRIBUTE)
    if value is None:
        return None
    values = [value] if isinstance(value, str) else value if isinstance(value, Sequence) else []
    return wire.read_signal((str(text) for text in values), trace_id)


def _status_of(span: ReadableSpan) -> int:
    attributes = span.attributes or {}
    found = (attributes[name] for name in _STATUS_CODES if name in attributes)
    value = next(found, 0)
    return value if isinstance(value, int) else 0


class ReleasedSpan(ReadableSpan):
    """A span that ended unsampled, as it is exported: sampled, with the reason."""

    def __init__(self, span: ReadableSpan, trigger: str) -> None:
        context: SpanContext | None = span.context
        if context is not None:
            flags = TraceFlags(context.trace_flags | TraceFlags.SAMPLED)
            context = SpanContext(context.trace_id, context.span_id, context.is_remote, flags, context.trace_state)
        attributes: Mapping[str, AttributeValue] = {**(span.attributes or {}), TRIGGER: trigger, PRIORITY: 1}
        super().__init__(
            name=span.name,
            context=context,
            parent=span.parent,
            resource=span.resource,
            attributes=attributes,
            events=span.events,
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
        self._original = span

    @property
    def dropped_attributes(self) -> int:
        return self._original.dropped_attributes

    @property
    def dropped_events(self) -> int:
        return self._original.dropped_events

    @property
    def dropped_links(self) -> int:
        return self._original.dropped_links

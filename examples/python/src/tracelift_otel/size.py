"""How much memory a held span takes: an estimate that is rather too high, measured in tests/test_memory.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan

#: A span without attributes: its context, timestamps, locks and lists, and its place in the ring.
_SPAN = 2950
#: One attribute's place in its mapping.
_ATTRIBUTE = 100
#: One event or link, with a mapping of its own.
_ENTRY = 800
#: What a trace costs that holds no span yet.
TRACE = 600


def size_of(span: ReadableSpan) -> int:
    """Bytes of the span. What many spans share (resource, scope) is not counted."""
    events = sum(_ENTRY + sys.getsizeof(event.name) + _attributes(event.attributes) for event in span.events)
    links = sum(_ENTRY + _attributes(link.attributes) for link in span.links)
    own = sys.getsizeof(span.name) + sys.getsizeof(span.status.description or "")
    return _SPAN + own + _attributes(span.attributes) + events + links


def _attributes(attributes: Mapping[str, object] | None) -> int:
    return sum(_ATTRIBUTE + sys.getsizeof(name) + _value(value) for name, value in (attributes or {}).items())


def _value(value: object) -> int:
    size = sys.getsizeof(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return size + sum(sys.getsizeof(item) for item in value)
    return size

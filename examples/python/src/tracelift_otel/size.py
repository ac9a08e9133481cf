"""How much memory a held span takes: an estimate that is rather too high, measured in tests/test_memory.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan

#: A span without attributes: its context, timestamps, locks and lists.
_SPAN = 2800
#: One attribute's place in its mapping.
_ATTRIBUTE = 100
#: One event or link, with a mapping of its own.
_ENTRY = 800
#: What a trace costs that holds no span yet.
TRACE = 600


def size_of(span: ReadableSpan) -> int:
    """Bytes of the span. What many spans share (resource, scope, names of attributes) is not counted."""
    events = sum(_ENTRY + _attributes(event.attributes) for event in span.events)
    links = sum(_ENTRY + _attributes(link.attributes) for link in span.links)
    return _SPAN + sys.getsizeof(span.name) + _attributes(span.attributes) + events + links


def _attributes(attributes: Mapping[str, object] | None) -> int:
    return sum(_ATTRIBUTE + _value(value) for value in (attributes or {}).values())


def _value(value: object) -> int:
    size = sys.getsizeof(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return size + sum(sys.getsizeof(item) for item in value)
    return size

"""The spans of dropped traces, held for a while within a bound. Not thread-safe: its owner has the lock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan

from tracelift_otel import size

#: A trace with an open span is held for so long at most, and a span of it for no longer.
OPEN_SECONDS = 60.0
#: Expired traces are looked for no more often than this.
_SWEEP_SECONDS = 0.1


@dataclass
class Counts:
    """``held = released + expired + evicted + spans`` at all times."""

    held: int = 0
    released: int = 0
    expired: int = 0
    evicted: int = 0
    #: Held now.
    spans: int = 0
    #: What the spans and their traces take now.
    bytes: int = 0


@dataclass
class _Trace:
    touched: float
    open: int = 0
    bytes: int = size.TRACE
    #: When each was held, and its bytes; the oldest first.
    spans: list[tuple[float, int, ReadableSpan]] = field(default_factory=list)


class Ring:
    """Traces in the order in which something last happened to them."""

    def __init__(self, hold_seconds: float, max_bytes: int) -> None:
        self._hold_seconds = hold_seconds
        self._max_bytes = max_bytes
        self._traces: OrderedDict[int, _Trace] = OrderedDict()
        self._swept = 0.0
        self.counts = Counts()

    def open(self, trace_id: int, now: float) -> None:
        """A span of the trace began."""
        self._touch(trace_id, now).open += 1
        self._bound(now)

    def hold(self, span: ReadableSpan, trace_id: int, now: float) -> None:
        """A span of the trace ended."""
        bytes_ = size.size_of(span)
        trace = self._touch(trace_id, now)
        trace.open = max(0, trace.open - 1)
        self._drop_old(trace, now)
        trace.spans.append((now, bytes_, span))
        trace.bytes += bytes_
        self.counts.held += 1
        self.counts.spans += 1
        self.counts.bytes += bytes_
        self._bound(now)

    def release(self, trace_id: int) -> list[ReadableSpan]:
        """Takes all spans of the trace out."""
        spans = self._remove(trace_id)
        self.counts.released += len(spans)
        return spans

    def knows(self, trace_id: int) -> bool:
        """Whether a span of the trace is held or open."""
        return trace_id in self._traces

    def pass_through(self) -> None:
        """Counts a span that needs no holding: its trace was released before it ended."""
        self.counts.held += 1
        self.counts.released += 1

    def expire(self, now: float) -> None:
        """Drops what was held for long enough."""
        self._swept = now
        over = []
        for trace_id, trace in self._traces.items():
            age = now - trace.touched
            if age < self._hold_seconds:
                break  # The others are younger.
            if trace.open == 0 or age >= OPEN_SECONDS:
                over.append(trace_id)
        for trace_id in over:
            self.counts.expired += len(self._remove(trace_id))

    def clear(self) -> None:
        """Drops everything: the process ends."""
        for trace_id in list(self._traces):
            self.counts.expired += len(self._remove(trace_id))

    def _drop_old(self, trace: _Trace, now: float) -> None:
        while trace.spans and now - trace.spans[0][0] >= OPEN_SECONDS:
            _, bytes_, _ = trace.spans.pop(0)
            trace.bytes -= bytes_
            self.counts.bytes -= bytes_
            self.counts.spans -= 1
            self.counts.expired += 1

    def _touch(self, trace_id: int, now: float) -> _Trace:
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = _Trace(now)
            self.counts.bytes += trace.bytes
        trace.touched = now
        self._traces.move_to_end(trace_id)
        return trace

    def _bound(self, now: float) -> None:
        if now - self._swept >= _SWEEP_SECONDS:
            self.expire(now)
        while self.counts.bytes > self._max_bytes and self._traces:
            self.counts.evicted += len(self._remove(next(iter(self._traces))))

    def _remove(self, trace_id: int) -> list[ReadableSpan]:
        trace = self._traces.pop(trace_id, None)
        if trace is None:
            return []
        self.counts.spans -= len(trace.spans)
        self.counts.bytes -= trace.bytes
        return [span for _, _, span in trace.spans]

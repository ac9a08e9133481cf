"""Holds the spans of dropped traces, and releases those of traces that are kept after all."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import asdict

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from tracelift_otel import spans, wire
from tracelift_otel.bounds import Budget, Remembered
from tracelift_otel.quiet import QuietLog
from tracelift_otel.ring import Ring
from tracelift_otel.settings import Settings
from tracelift_otel.sidecar import Sidecar

_logger = logging.getLogger(__name__)

#: How long a release, or a refusal, holds for spans of the trace that end later; a minute, as the sidecar remembers it.
_VERDICT_SECONDS = 60.0
_VERDICTS = 16_384

ERROR = "error"
SIGNAL = "signal"
SIDECAR = "sidecar"


class HoldingSpanProcessor(SpanProcessor):
    """Takes what the sampler did not sample. What it did sample goes past it, to the processors that export.

    ``exporting`` are these processors, usually one ``BatchSpanProcessor``: released spans are passed to them. They must
    be registered with the provider too, behind this one.
    """

    def __init__(
        self,
        *exporting: SpanProcessor,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or Settings.from_environment()
        self._exporting = list(exporting)
        self._clock = clock
        self._log = QuietLog(_logger, clock)
        self._begin()
        self._sidecar = Sidecar.of(self.settings, self._on_upgrades, self._on_tick)
        if hasattr(os, "register_at_fork"):
            weak = weakref.WeakMethod(self._after_fork)

            def after_in_child() -> None:
                if method := weak():
                    method()

            os.register_at_fork(after_in_child=after_in_child)
        if self._sidecar:
            self._sidecar.start()

    def _begin(self) -> None:
        # Re-entrant: the collector of garbage may end a span, of an abandoned generator, on a thread that is in here.
        self._lock = threading.RLock()
        self._ring = Ring(self.settings.hold_seconds, self.settings.hold_bytes)
        self._budget = Budget(self.settings.traces_per_second)
        self._released: Remembered[str] = Remembered(_VERDICT_SECONDS, _VERDICTS)
        self._refused: Remembered[bool] = Remembered(_VERDICT_SECONDS, _VERDICTS)
        self._releases = dict.fromkeys((ERROR, SIGNAL, SIDECAR), 0)
        self._shed = 0

    def export_through(self, processor: SpanProcessor) -> None:
        """One more processor for released spans."""
        self._exporting.append(processor)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        try:
            if not spans.is_sampled(span.context):
                with self._lock:
                    now = self._clock()
                    if self._released.get(span.context.trace_id, now) is None:
                        self._ring.open(span.context.trace_id, now)
        except Exception:
            self._complain()

    def on_end(self, span: ReadableSpan) -> None:
        try:
            if span.context and not spans.is_sampled(span.context):
                self._export(*self._ended(span, span.context.trace_id))
        except Exception:
            self._complain()

    def is_released(self, trace_id: int) -> bool:
        """Whether the trace was released in the last minute."""
        with self._lock:
            return self._released.get(trace_id, self._clock()) is not None

    def answered(self, signal: str, context: Context | None = None) -> None:
        """Reads the header ``x-tracelift-signal`` of an answer to the current span's call.

        For HTTP clients whose instrumentation does not record the headers of answers.
        """
        try:
            of = trace.get_current_span(context).get_span_context()
            if of.is_valid and not spans.is_sampled(of):
                with self._lock:
                    verdict = wire.read_signal([signal], of.trace_id)
                    released = self._judge(of.trace_id, verdict, failed=False)
                self._export(*released)
        except Exception:
            self._complain()

    def signal_for(self, span: trace.Span) -> str | None:
        """The header's value for an answer that begins now, to the request of ``span``; often there is none."""
        try:
            of = span.get_span_context()
            if not of.is_valid:
                return None
            # Later spans of a trace that was released are sampled: their requests bear the signal, too.
            sampled = spans.is_sampled(of)
            failed = not sampled and isinstance(span, ReadableSpan) and spans.has_failed(span)
            with self._lock:
                released = ([], "") if sampled else self._judge(of.trace_id, None, failed)
                own = self._released.get(of.trace_id, self._clock()) == ERROR
            self._export(*released)
            return wire.write_signal(of.trace_id) if own else None
        except Exception:
            self._complain()
            return None

    def counts(self) -> dict[str, int]:
        """What happened so far, in this process."""
        with self._lock:
            self._ring.expire(self._clock())
            counts = {f"spans.{name}": value for name, value in asdict(self._ring.counts).items()}
            counts |= {f"releases.{trigger}": value for trigger, value in self._releases.items()}
            counts["shed"] = self._shed
        if self._sidecar:
            counts |= {f"polls.{name}": value for name, value in self._sidecar.counts().items()}
        return counts

    def shutdown(self) -> None:
        try:
            if self._sidecar:
                self._sidecar.stop()  # Asks a last time.
            with self._lock:
                self._ring.clear()
        except Exception:
            self._complain()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True  # What is held is not to be exported, and what is released is with the exporting processors.

    def _ended(self, span: ReadableSpan, trace_id: int) -> tuple[list[ReadableSpan], str]:
        verdict = spans.signal_of(span, trace_id)
        failed = spans.has_failed(span)
        with self._lock:
            if known := self._released.get(trace_id, self._clock()):
                self._ring.pass_through()
                return [span], known
            self._ring.hold(span, trace_id, self._clock())
            return self._judge(trace_id, verdict, failed)

    def _judge(self, trace_id: int, verdict: wire.Verdict | None, failed: bool) -> tuple[list[ReadableSpan], str]:
        """Releases the trace if there is a reason. The caller has the lock."""
        now = self._clock()
        if self._released.get(trace_id, now):
            return [], ""
        if verdict is wire.Verdict.UPGRADED:
            return self._release(trace_id, SIGNAL, now)
        if verdict is wire.Verdict.SHED:
            self._refused.put(trace_id, True, now)
        if not failed or self._refused.get(trace_id, now):
            return [], ""
        if not self._budget.admit(now):
            self._shed += 1
            self._refused.put(trace_id, True, now)
            return [], ""
        return self._release(trace_id, ERROR, now)

    def _release(self, trace_id: int, trigger: str, now: float) -> tuple[list[ReadableSpan], str]:
        """The sidecar lists traces of the whole pod: only those that this process knows count as released."""
        self._released.put(trace_id, trigger, now)
        if trigger != SIDECAR or self._ring.knows(trace_id):
            self._releases[trigger] += 1
        return self._ring.release(trace_id), trigger

    def _on_upgrades(self, trace_ids: Iterable[int]) -> None:
        for trace_id in trace_ids:
            with self._lock:
                now = self._clock()
                known = self._released.get(trace_id, now)
                released = ([], "") if known else self._release(trace_id, SIDECAR, now)
            self._export(*released)

    def _on_tick(self) -> None:
        with self._lock:
            self._ring.expire(self._clock())

    def _export(self, released: list[ReadableSpan], trigger: str) -> None:
        for span in released:
            copy = spans.ReleasedSpan(span, trigger)
            for processor in self._exporting:
                processor.on_end(copy)

    def _after_fork(self) -> None:
        self._log.after_fork()
        self._begin()  # What the parent holds is the parent's to export.
        if self._sidecar:
            self._sidecar.restart()

    def _complain(self) -> None:
        self._log.warning("tracelift: a span could not be held; it is treated as dropped.", exc_info=True)

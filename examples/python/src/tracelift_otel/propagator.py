"""Tells the sidecar, on the answer, that this application released the trace."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.propagators import ResponsePropagator, default_setter

from tracelift_otel import wire
from tracelift_otel.processor import HoldingSpanProcessor


class SignalPropagator(ResponsePropagator):
    """Writes ``x-tracelift-signal``, beside what the propagator before wrote."""

    def __init__(self, processor: HoldingSpanProcessor, before: ResponsePropagator | None = None) -> None:
        self._processor = processor
        self._before = before

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        if self._before is not None:
            self._before.inject(carrier, context, setter)
        signal = self._processor.signal_for(trace.get_current_span(context))
        if signal is not None:
            setter.set(carrier, wire.SIGNAL_HEADER, signal)

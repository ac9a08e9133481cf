"""Puts the parts together, for a provider that exists."""

from __future__ import annotations

import logging
import os

from opentelemetry.instrumentation.propagators import get_global_response_propagator, set_global_response_propagator
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from tracelift_otel import telemetry, wire
from tracelift_otel.processor import HoldingSpanProcessor
from tracelift_otel.propagator import SignalPropagator
from tracelift_otel.sampler import HoldingSampler
from tracelift_otel.settings import Settings

_logger = logging.getLogger(__name__)

#: What makes the instrumentations of HTTP clients record headers of answers.
_CAPTURED = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE"


def install(
    provider: TracerProvider, *exporting: SpanProcessor, settings: Settings | None = None
) -> HoldingSpanProcessor | None:
    """Makes ``provider`` hold what it drops, and registers the ``exporting`` processors with it.

    Call it before HTTP clients are instrumented and before the first tracer is taken. Never raises: without what it
    does, the provider works as before, and the log says so.
    """
    holding = None
    try:
        holding = HoldingSpanProcessor(*exporting, settings=settings)
        provider.add_span_processor(holding)
        connect(provider, holding)
    except Exception:
        _logger.exception("tracelift: could not be installed; spans of dropped traces are not recorded.")
    for processor in exporting:
        provider.add_span_processor(processor)
    return holding


def connect(provider: TracerProvider, holding: HoldingSpanProcessor) -> None:
    """Everything but the processors: sampler, signals in and out, counters."""
    provider.sampler = HoldingSampler(provider.sampler, holding.is_released)
    before = get_global_response_propagator()  # type: ignore[no-untyped-call]
    set_global_response_propagator(SignalPropagator(holding, before))  # type: ignore[no-untyped-call]
    capture_signal()
    telemetry.observe(holding)


def capture_signal() -> None:
    """Has the instrumentations of HTTP clients record our header, beside what the user lists."""
    listed = [name.strip() for name in os.environ.get(_CAPTURED, "").split(",") if name.strip()]
    if wire.SIGNAL_HEADER not in listed:
        os.environ[_CAPTURED] = ",".join([*listed, wire.SIGNAL_HEADER])

"""The package's own counters, as OpenTelemetry metrics; they cost nothing without a meter provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from tracelift_otel.processor import HoldingSpanProcessor

_COUNTERS = {
    "spans.held": ("{span}", "Spans of dropped traces that were held."),
    "spans.released": ("{span}", "Held spans that were exported after all."),
    "spans.expired": ("{span}", "Held spans whose trace stayed dropped."),
    "spans.evicted": ("{span}", "Held spans that made room for others."),
    "releases.error": ("{trace}", "Traces released for a failure in this process."),
    "releases.signal": ("{trace}", "Traces released because an answer bore the upgrade signal."),
    "releases.sidecar": ("{trace}", "Traces released because the sidecar listed them."),
    "shed": ("{trace}", "Failed traces over the budget."),
    "polls.answered": ("{request}", "Requests to the sidecar that it answered."),
    "polls.missed": ("{trace}", "Upgrades that the sidecar could not tell any more."),
}
_GAUGES = {
    "spans.spans": ("spans.holding", "{span}", "Spans held now."),
    "spans.bytes": ("spans.holding_bytes", "By", "Estimated memory of the spans held now."),
}
_PREFIX = "tracelift.application."


def observe(processor: HoldingSpanProcessor) -> None:
    """Registers the instruments."""

    def of(key: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _options: [Observation(processor.counts().get(key, 0))]

    meter = metrics.get_meter("tracelift_otel")
    for key, (unit, description) in _COUNTERS.items():
        meter.create_observable_counter(_PREFIX + key, [of(key)], unit, description)
    for key, (name, unit, description) in _GAUGES.items():
        meter.create_observable_up_down_counter(_PREFIX + name, [of(key)], unit, description)

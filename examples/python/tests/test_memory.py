"""What held spans take, measured."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from fakes import Application, caller

from tracelift_otel import Settings


def held_bytes(application: Application, traces: int, attributes: dict[str, str], events: int) -> int:
    """What the interpreter allocated for so many traces with two spans, the last still held."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for trace_id in range(1, traces + 1):
        with application.tracer.start_as_current_span("GET /", caller(trace_id)) as span:
            for name, value in attributes.items():
                # A text of its own, as it comes from a request.
                span.set_attribute(name, f"{value}{trace_id}")
            with application.tracer.start_as_current_span("work") as inner:
                for number in range(events):
                    inner.add_event("note", {"number": number + 1000, "text": f"text {trace_id}"})
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


@pytest.mark.parametrize(
    ("attributes", "events"),
    [
        ({}, 0),
        ({f"http.attribute.{number}": "a value of some length " for number in range(12)}, 0),
        ({"a": "x" * 2000}, 0),
        ({"a": "b"}, 5),
    ],
    ids=["bare", "http", "long", "events"],
)
def test_the_estimate_is_not_below_what_spans_take_and_not_far_above(attributes: dict[str, str], events: int) -> None:
    application = Application(Settings(hold_bytes=1 << 30))
    measured = held_bytes(application, 100, attributes, events)
    estimated = application.holding.counts()["spans.bytes"]
    assert measured <= estimated <= 2 * measured


def test_memory_stays_within_the_bound_whatever_comes() -> None:
    bound = 512 * 1024
    application = Application(Settings(hold_bytes=bound))
    measured = held_bytes(application, 1000, {"a": "x" * 500}, 1)
    counts = application.holding.counts()
    assert counts["spans.evicted"] > 1000
    assert counts["spans.bytes"] <= bound
    assert measured <= bound * 1.1

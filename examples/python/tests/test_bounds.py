"""Time, bytes and budget, with a clock that moves by hand."""

from __future__ import annotations

import pytest
from fakes import Application, Clock, caller
from opentelemetry.trace import StatusCode

from tracelift_otel import Settings
from tracelift_otel.bounds import Budget, Remembered


def end(application: Application, trace_id: int, *, fails: bool = False, text: str = "") -> None:
    with application.tracer.start_as_current_span("work", caller(trace_id), attributes={"text": text}) as span:
        if fails:
            span.set_status(StatusCode.ERROR)


def balance(application: Application) -> dict[str, int]:
    counts = application.holding.counts()
    parts = ("spans.released", "spans.expired", "spans.evicted", "spans.spans")
    assert counts["spans.held"] == sum(counts[part] for part in parts)
    return counts


def test_spans_are_held_for_five_seconds_after_the_last_of_their_trace(application: Application) -> None:
    end(application, 1)
    application.clock.advance(4)
    end(application, 1)
    application.clock.advance(4)
    assert balance(application)["spans.spans"] == 2
    application.clock.advance(1)
    assert balance(application)["spans.expired"] == 2


def test_a_call_that_takes_long_keeps_its_siblings_for_a_minute(application: Application) -> None:
    outer = application.tracer.start_span("GET /", caller(1))
    end(application, 1)
    application.clock.advance(30)
    end(application, 2)
    assert balance(application)["spans.spans"] == 2
    outer.set_status(StatusCode.ERROR)
    outer.end()
    assert application.exported() == ["work", "GET /"]

    stuck = application.tracer.start_span("GET /", caller(3))
    end(application, 3)
    application.clock.advance(61)
    assert balance(application)["spans.expired"] == 2
    stuck.end()


def test_a_span_of_a_busy_trace_is_held_for_no_longer_than_a_minute(application: Application) -> None:
    worker = application.tracer.start_span("loop", caller(1))
    for _ in range(200):
        end(application, 1)
        application.clock.advance(1)
    counts = balance(application)
    assert counts["spans.spans"] == 60
    assert counts["spans.expired"] == 140
    worker.end()


def test_what_a_status_says_counts_as_memory() -> None:
    application = Application(Settings(hold_bytes=1_000_000, traces_per_second=0))
    for trace_id in range(1, 101):
        with application.tracer.start_as_current_span("work", caller(trace_id)) as span:
            span.set_status(StatusCode.ERROR, "x" * 100_000)
    counts = balance(application)
    assert counts["shed"] == 100
    assert 0 < counts["spans.spans"] < 10


def test_a_later_request_of_a_released_trace_says_so_on_its_answer(application: Application) -> None:
    end(application, 1, fails=True)
    with application.tracer.start_as_current_span("GET /", caller(1)) as span:
        assert span.get_span_context().trace_flags.sampled
        assert application.holding.signal_for(span) == f"2;upgraded;{1:032x}"
    with application.tracer.start_as_current_span("GET /", caller(2, sampled=True)) as span:
        assert application.holding.signal_for(span) is None


def test_a_span_that_never_ends_leaves_nothing_behind(application: Application) -> None:
    abandoned = [application.tracer.start_span("lost", caller(trace_id)) for trace_id in range(1, 1000)]
    assert balance(application)["spans.bytes"] > 0
    application.clock.advance(61)
    assert balance(application)["spans.bytes"] == 0
    assert len(abandoned) == 999


def test_the_oldest_traces_make_room_and_are_counted() -> None:
    application = Application(Settings(hold_bytes=50_000))
    for trace_id in range(1, 101):
        end(application, trace_id)
    counts = balance(application)
    assert counts["spans.bytes"] <= 50_000
    assert counts["spans.evicted"] == 100 - counts["spans.spans"] > 0
    end(application, 1, fails=True)
    end(application, 100, fails=True)
    assert application.exported() == ["work"] * 3, "of trace 1 only the new span is left, of trace 100 both"


def test_a_trace_that_is_larger_than_the_bound_is_evicted_itself() -> None:
    application = Application(Settings(hold_bytes=10_000))
    end(application, 1, text="x" * 20_000)
    counts = balance(application)
    assert (counts["spans.evicted"], counts["spans.bytes"]) == (1, 0)


def test_a_storm_is_shed_by_the_budget_and_every_span_is_accounted_for() -> None:
    application = Application(Settings(traces_per_second=100))
    for trace_id in range(1, 2_001):
        end(application, trace_id, fails=True)
        application.clock.advance(0.0005)
    counts = balance(application)
    # A second's worth at once, and a second's worth in the second that the storm lasts.
    assert 199 <= counts["releases.error"] <= 201
    assert counts["releases.error"] + counts["shed"] == 2_000
    assert len(application.exported()) == counts["releases.error"]
    assert counts["spans.bytes"] <= 8 * 1024 * 1024


def test_a_trace_that_was_shed_is_not_released_in_pieces_when_the_budget_recovers() -> None:
    application = Application(Settings(traces_per_second=1))
    end(application, 1, fails=True)
    with application.tracer.start_as_current_span("GET /", caller(2)) as span:
        end(application, 2, fails=True)
        application.clock.advance(3)
        span.set_status(StatusCode.ERROR)
    assert application.exported() == ["work"]


def test_a_budget_of_zero_releases_nothing_for_own_failures() -> None:
    application = Application(Settings(traces_per_second=0))
    end(application, 1, fails=True)
    assert application.exported() == []


@pytest.mark.parametrize(("rate", "burst"), [(100, 100), (1, 1), (0.1, 1), (2.5, 2)])
def test_a_budget_admits_a_second_at_once_and_its_rate_after(rate: float, burst: int) -> None:
    clock, budget = Clock(), Budget(rate)
    assert sum(budget.admit(clock()) for _ in range(1000)) == burst
    admitted = 0
    for _ in range(10_000):
        clock.advance(0.01)
        admitted += budget.admit(clock())
    assert abs(admitted - 100 * rate) <= 1


def test_what_is_remembered_is_bounded_in_number_and_time() -> None:
    known: Remembered[str] = Remembered(seconds=60, capacity=100)
    for trace_id in range(1000):
        known.put(trace_id, "x", now=0)
    assert len(known) == 100
    assert known.get(999, now=59) == "x"
    assert known.get(999, now=60) is None
    assert known.get(0, now=0) is None
    known.put(1, "y", now=70)
    assert len(known) == 1

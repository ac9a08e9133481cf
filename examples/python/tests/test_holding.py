"""What is held, what is released, and what goes past."""

from __future__ import annotations

import pytest
from fakes import Application, caller
from opentelemetry import trace
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, Status, StatusCode

from tracelift_otel import HoldingSampler, wire

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
SIGNAL = wire.SIGNAL_ATTRIBUTE


def one_request(application: Application, trace_id: int = TRACE, *, fails: bool = False) -> None:
    with application.tracer.start_as_current_span("GET /", caller(trace_id), SpanKind.SERVER):
        with application.tracer.start_as_current_span("query"):
            pass
        with application.tracer.start_as_current_span("work") as span:
            if fails:
                span.set_status(StatusCode.ERROR)


def test_a_dropped_trace_is_recorded_with_flag_0_and_never_exported(application: Application) -> None:
    with application.tracer.start_as_current_span("GET /", caller(TRACE), SpanKind.SERVER) as span:
        assert span.is_recording()
        assert span.get_span_context().trace_flags == 0
    application.clock.advance(6)
    counts = application.holding.counts()
    assert application.exported() == []
    assert (counts["spans.held"], counts["spans.expired"], counts["spans.spans"], counts["spans.bytes"]) == (1, 1, 0, 0)


def test_a_sampled_trace_goes_past_and_is_exported_once(application: Application) -> None:
    with application.tracer.start_as_current_span("GET /", caller(TRACE, sampled=True)) as span:
        span.set_status(StatusCode.ERROR)
    assert application.exported() == ["GET /"]
    assert "tracelift.upgrade.trigger" not in (application.spans()[0].attributes or {})
    assert application.holding.counts()["spans.held"] == 0


def test_one_failing_span_releases_the_whole_trace_and_no_other(application: Application) -> None:
    one_request(application, TRACE + 1)
    one_request(application, TRACE, fails=True)
    assert application.exported() == ["query", "work", "GET /"]
    by_name = {span.name: span for span in application.spans()}
    root = by_name["GET /"]
    for span in by_name.values():
        assert span.context is not None
        assert span.context.trace_id == TRACE
        assert span.context.trace_flags.sampled
        assert span.attributes is not None
        assert span.attributes["tracelift.upgrade.trigger"] == "error"
        assert span.attributes["sampling.priority"] == 1
    assert root.context is not None
    assert by_name["work"].parent is not None
    assert by_name["work"].parent.span_id == root.context.span_id
    assert root.parent is not None
    assert root.parent.span_id == 0xB7AD6B7169203331


def test_an_exception_that_was_caught_releases_too(application: Application) -> None:
    with application.tracer.start_as_current_span("GET /", caller(TRACE)) as span:
        span.record_exception(ValueError("swallowed"))
    (exported,) = application.spans()
    assert exported.status.status_code is StatusCode.UNSET
    assert [event.name for event in exported.events] == ["exception"]


@pytest.mark.parametrize(
    ("kind", "status", "exception", "released"),
    [
        (SpanKind.CLIENT, 404, False, False),
        (SpanKind.CLIENT, 404, True, True),
        (SpanKind.CLIENT, 503, False, True),
        (SpanKind.SERVER, 404, False, True),
        (SpanKind.CLIENT, None, False, True),
    ],
)
def test_an_answer_of_4xx_to_a_call_is_no_failure(
    application: Application, kind: SpanKind, status: int | None, exception: bool, released: bool
) -> None:
    for name in ("http.response.status_code", "http.status_code"):
        trace_id = TRACE + len(name)
        with application.tracer.start_as_current_span("call", caller(trace_id), kind) as span:
            span.set_status(StatusCode.ERROR)
            if status is not None:
                span.set_attribute(name, status)
            if exception:
                span.record_exception(TimeoutError())
    assert len(application.exported()) == (2 if released else 0)


@pytest.mark.parametrize("values", [f"2;upgraded;{TRACE:032x}", [f"2;upgraded;{TRACE:032x}"]])
def test_the_signal_on_the_answer_to_a_call_releases(application: Application, values: str | list[str]) -> None:
    with application.tracer.start_as_current_span("GET /", caller(TRACE)):
        with application.tracer.start_as_current_span("call", kind=SpanKind.CLIENT) as call:
            call.set_attribute(SIGNAL, values)
        assert application.exported() == ["call"]
        with application.tracer.start_as_current_span("later"):
            pass
    assert application.exported() == ["call", "later", "GET /"]
    triggers = [(span.attributes or {}).get("tracelift.upgrade.trigger") for span in application.spans()]
    assert triggers == ["signal", None, "signal"], "what begins after the release is sampled as any span"


def test_a_signal_for_another_trace_and_what_any_sdk_may_write_release_nothing(application: Application) -> None:
    with application.tracer.start_as_current_span("call", caller(TRACE), SpanKind.CLIENT) as call:
        call.set_attribute(SIGNAL, [f"2;upgraded;{TRACE + 1:032x}"])
        call.set_attribute("http.response.header.traceresponse", [f"00-{TRACE:032x}-b7ad6b7169203331-01"])
    assert application.exported() == []


def test_a_shed_trace_is_not_released_for_its_own_failures_and_still_by_the_sidecar(application: Application) -> None:
    with application.tracer.start_as_current_span("GET /", caller(TRACE)) as span:
        with application.tracer.start_as_current_span("call", kind=SpanKind.CLIENT) as call:
            call.set_attribute(SIGNAL, [f"2;shed;{TRACE:032x}"])
            call.set_status(StatusCode.ERROR)
        span.set_status(StatusCode.ERROR)
        assert application.holding.signal_for(span) is None
        assert application.exported() == []
        application.holding.answered(f"2;upgraded;{TRACE:032x}")
    assert application.exported() == ["call", "GET /"]


def test_calls_after_the_release_leave_sampled_and_their_spans_are_exported_once(application: Application) -> None:
    with application.tracer.start_as_current_span("GET /", caller(TRACE)):
        with application.tracer.start_as_current_span("fails") as span:
            span.set_status(StatusCode.ERROR)
        with application.tracer.start_as_current_span("call") as call:
            assert call.get_span_context().trace_flags.sampled
    assert sorted(application.exported()) == ["GET /", "call", "fails"]


def test_the_answer_to_a_request_that_failed_here_bears_the_signal(application: Application) -> None:
    with application.tracer.start_as_current_span("GET /", caller(TRACE)) as span:
        assert application.holding.signal_for(span) is None
        with application.tracer.start_as_current_span("swallowed") as inner:
            inner.record_exception(ValueError())
        assert application.holding.signal_for(span) == f"2;upgraded;{TRACE:032x}"
    assert application.exported() == ["swallowed", "GET /"]


def test_a_failure_that_only_the_open_span_knows_is_told_as_well(application: Application) -> None:
    with application.tracer.start_as_current_span("GET /", caller(TRACE)) as span:
        span.add_event("exception", {"exception.type": "ValueError"})
        assert application.holding.signal_for(span) == f"2;upgraded;{TRACE:032x}"
    assert application.exported() == ["GET /"]


def test_what_the_sidecar_knows_already_is_not_told_to_it(application: Application) -> None:
    with application.tracer.start_as_current_span("GET /", caller(TRACE)) as span:
        application.holding.answered(f"2;upgraded;{TRACE:032x}")
        assert application.holding.signal_for(span) is None
    with application.tracer.start_as_current_span("GET /", caller(TRACE + 1, sampled=True)) as sampled:
        sampled.set_status(StatusCode.ERROR)
        assert application.holding.signal_for(sampled) is None
    assert application.holding.signal_for(trace.INVALID_SPAN) is None


def test_a_released_span_is_the_span_that_ended(application: Application) -> None:
    link = trace.Link(trace.get_current_span(caller(7)).get_span_context(), {"why": "batch"})
    tracer = application.provider.get_tracer("scope", "1.2.3")
    with tracer.start_as_current_span("work", caller(TRACE), links=[link], attributes={"a": 1, "b": ["x"]}) as span:
        span.add_event("note", {"n": 1})
        span.set_status(Status(StatusCode.ERROR, "broken"))
    (exported,) = application.spans()
    assert exported.attributes == {"a": 1, "b": ("x",), "tracelift.upgrade.trigger": "error", "sampling.priority": 1}
    assert isinstance(exported.events[0], Event)
    assert exported.events[0].name == "note"
    assert exported.links[0].attributes == {"why": "batch"}
    assert exported.status.description == "broken"
    assert exported.instrumentation_scope is not None
    assert exported.instrumentation_scope.version == "1.2.3"
    assert exported.start_time is not None
    assert exported.end_time is not None
    assert exported.start_time <= exported.end_time
    assert exported.resource == application.provider.resource


def test_attributes_given_at_the_start_survive_a_sampler_that_drops() -> None:
    application = Application(root=ALWAYS_OFF)
    with application.tracer.start_as_current_span("work", attributes={"a": 1}) as span:
        assert span.get_span_context().trace_flags.sampled is False
        span.set_status(StatusCode.ERROR)
    assert (application.spans()[0].attributes or {})["a"] == 1


def test_the_sampler_says_what_it_wraps_and_keeps_the_callers_tracestate() -> None:
    sampler = HoldingSampler(ALWAYS_OFF, lambda _: False)
    assert sampler.get_description() == f"Tracelift{{{ALWAYS_OFF.get_description()}}}"
    application = Application()
    state = trace.TraceState([("ot", "rv:00000000000001"), ("vendor", "x")])
    of = trace.SpanContext(TRACE, 7, True, trace.TraceFlags(0), state)
    with application.tracer.start_as_current_span("x", trace.set_span_in_context(trace.NonRecordingSpan(of))) as span:
        assert span.get_span_context().trace_state == state


class Broken(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise OSError


def test_an_exporter_that_raises_does_not_raise_into_the_application(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    application.holding.export_through(Broken())
    for number in range(50):
        one_request(application, TRACE + number, fails=True)
    lines = [record for record in caplog.records if "could not be held" in record.message]
    assert len(lines) == 1

"""A sidecar, a collector and an application for tests. The sidecar shares no code with the package."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from tracelift_otel import HoldingSampler, HoldingSpanProcessor, Settings

#: A busy machine imports a web framework and its instrumentation in half a minute.
DEADLINE_SECONDS = 60.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Waits until it holds, and fails after a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.01)


class Clock:
    """Moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Application:
    """A provider that holds what its parent-based sampler drops."""

    def __init__(self, settings: Settings | None = None, root: Sampler = DEFAULT_ON) -> None:
        self.clock = Clock()
        self.exporter = InMemorySpanExporter()
        exporting = SimpleSpanProcessor(self.exporter)
        self.holding = HoldingSpanProcessor(exporting, settings=settings or Settings(), clock=self.clock)
        self.provider = TracerProvider(HoldingSampler(root, self.holding.is_released), shutdown_on_exit=False)
        self.provider.add_span_processor(self.holding)
        self.provider.add_span_processor(exporting)
        self.tracer = self.provider.get_tracer("test")

    def exported(self) -> list[str]:
        return [span.name for span in self.exporter.get_finished_spans()]

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


def caller(trace_id: int, sampled: bool = False) -> Context:
    """The context of a request whose sidecar decided."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else 0)
    return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, 0xB7AD6B7169203331, True, flags)))


class _Server:
    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.handle(self)

            def do_POST(self) -> None:
                outer.handle(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle(self, request: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class FakeSidecar(_Server):
    """The filter's half of the list of upgrades, as docs/applications.md has it; and an answer of any kind instead."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.log: list[int] = []
        self.epoch = "e1"
        #: Full headers of the requests.
        self.requests: list[dict[str, str]] = []
        self.statuses: list[int] = []
        #: Answers instead, when set.
        self.instead: Callable[[Any], None] | None = None
        #: The context with which the application's calls came, by their paths.
        self.calls: dict[str, str] = {}
        #: Answers the calls: a status, and what the peers say by the signal.
        self.peers: Callable[[str], tuple[int, str | None]] = lambda _traceparent: (200, None)
        super().__init__()

    def upgrade(self, *trace_ids: int) -> None:
        self.log.extend(trace_ids)

    def handle(self, request: Any) -> None:
        self.requests.append({name.lower(): value for name, value in request.headers.items()})
        if self.instead:
            self.instead(request)
            return
        if not request.path.startswith("/.well-known/"):
            self.calls[request.path] = request.headers.get("traceparent", "")
            called, signal = self.peers(self.calls[request.path])
            answer(request, called, {"x-tracelift-signal": signal} if signal else {}, b"4")
            return
        status, header = self._answer(request)
        self.statuses.append(status)
        answer(request, status, {"x-tracelift-upgrades": header} if header else {})

    def _answer(self, request: Any) -> tuple[int, str | None]:
        version, time_, mac = (request.headers.get("x-tracelift-mac", "") + ";;").split(";")[:3]
        audience = request.headers["host"].rpartition(":")[0]
        lines = ["tracelift-mac-1", "upgrades-1", time_, audience, request.path]
        expected = hmac.new(self.token.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
        in_time = time_.isdecimal() and abs(int(time_) - time.time()) <= 30
        if version != "1" or not in_time or not hmac.compare_digest(mac, expected):
            return 403, None
        if request.headers.get("traceparent") != "ff-tracelift-upgrades-1":
            return 400, "1"
        path, _, query = request.path.partition("?")
        epoch, _, place = query.removeprefix("cursor=").partition(".")
        oldest = max(0, len(self.log) - 512)
        begin = int(place) if epoch == self.epoch else oldest
        missed = max(0, oldest - begin)
        listed = self.log[max(begin, oldest) :][:128]
        cursor = f"{self.epoch}.{max(begin, oldest) + len(listed)}"
        assert path == "/.well-known/tracelift/upgrades"
        return 200, f"1;{cursor};{missed};{','.join(f'{trace_id:032x}' for trace_id in listed)}"


def answer(request: Any, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    """Sends it."""
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


class Collector(_Server):
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[ProtoSpan] = []
        super().__init__()

    def handle(self, request: Any) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        export = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            for resource in export.resource_spans:
                for scope in resource.scope_spans:
                    self._spans.extend(scope.spans)
        answer(request, 200, {"content-type": "application/x-protobuf"})

    def of(self, trace_id: int) -> list[ProtoSpan]:
        with self._lock:
            return [span for span in self._spans if int.from_bytes(span.trace_id, "big") == trace_id]

    def all(self) -> list[ProtoSpan]:
        with self._lock:
            return list(self._spans)

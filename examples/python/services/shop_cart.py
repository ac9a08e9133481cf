"""The cart of the demo's shop, with Flask: between storefront and catalog, and the shop's one service with an SDK.

    opentelemetry-instrument python shop_cart.py

Like the other services here it knows OpenTelemetry's API and nothing of Tracelift. It says on standard output where it
listens, and ends when its standard input does, so that it never outlives the demo.

OUTBOUND        the sidecar's listener for calls
"""

import logging
import os
import sys
import threading
import time

import requests
from flask import Flask, request
from opentelemetry import trace
from werkzeug.serving import BaseWSGIServer, make_server

OUTBOUND = os.environ.get("OUTBOUND", "")
PATIENCE_SECONDS = 10.0

#: What goes wrong with a request: the demo plans it, and sends it along.
FAULT_HEADER = "x-shop-fault"
#: The catalog fails, and no caller is informed.
SWALLOWED = "swallowed"
#: An exception in here, which nothing outside shows.
STALE = "stale"

#: What every application in a mesh passes on. The trace context is the SDK's to write.
PASSED_ON = ("x-request-id", "x-amzn-trace-id")

app = Flask(__name__)
tracer = trace.get_tracer("cart")


class OutOfDate(Exception):
    """The remembered prices are of another version."""


def call(host: str, path: str) -> int:
    """Asks another service, by its name, through the sidecar; the status of its answer, 503 without one."""
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    with requests.Session() as session:
        session.trust_env = False  # A proxy of the user's is not the way to a sidecar.
        try:
            return session.get(OUTBOUND + path, headers={"host": host, **headers}, timeout=PATIENCE_SECONDS).status_code
        except requests.RequestException:
            return 503


@app.get("/carts/<int:visit>")
def cart(visit: int) -> tuple[str, int]:
    fault = request.headers.get(FAULT_HEADER, "")
    with tracer.start_as_current_span("price cart") as span:
        try:
            remembered_prices(fault)
        except OutOfDate:
            span.set_attribute("prices.remembered", False)  # From the catalog alone, then.
        status = call("catalog", f"/items/{visit}")
    if fault == SWALLOWED:
        return "with yesterday's prices", 200
    return "", 502 if status >= 500 else status


def remembered_prices(fault: str) -> None:
    with tracer.start_as_current_span("read prices"):
        time.sleep(0.001)
        if fault == STALE:
            raise OutOfDate("the prices are of version 1, the code of version 2")


def end_with_caller(server: BaseWSGIServer) -> None:
    """Waits for the end of standard input; without the lock that a reader of ``sys.stdin`` would hold at exit."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    server.shutdown()


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=end_with_caller, args=(server,), daemon=True).start()
    print(f"listening on http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

"""Reviews of a shop's items, with Flask: an application that knows OpenTelemetry's API and nothing of Tracelift.

    opentelemetry-instrument python flask_service.py

PORT            where to listen on 127.0.0.1 (8081)
OUTBOUND        the sidecar's listener for calls; without it the ratings are asked from this process itself
FAILURES        share of requests that fail by themselves, 0 to 1 (0)
"""

import os
import random
import threading
import time

import requests
from flask import Flask, Response, jsonify, request
from opentelemetry import trace

PORT = int(os.environ.get("PORT", "8081"))
OUTBOUND = os.environ.get("OUTBOUND") or f"http://127.0.0.1:{PORT}"
FAILURES = float(os.environ.get("FAILURES", "0"))
PATIENCE_SECONDS = 2

app = Flask(__name__)
tracer = trace.get_tracer("reviews")
indexed: set[int] = set()


class OutOfDate(Exception):
    """The cache has reviews of another version."""


def fault() -> str:
    """What goes wrong with this request: as the caller wants it, or by chance."""
    by_chance = random.choice(("error", "swallowed")) if random.random() < FAILURES else ""
    return request.headers.get("x-demo-fault", by_chance)


def call(host: str, path: str) -> requests.Response:
    """Asks another service, by its name, through the sidecar."""
    return requests.get(OUTBOUND + path, headers={"host": host}, timeout=PATIENCE_SECONDS)


@app.get("/healthz")
def healthz() -> str:
    return "ok"


@app.get("/reviews/<int:item>")
def reviews(item: int) -> Response:
    wrong = fault()
    with tracer.start_as_current_span("load reviews") as span:
        span.set_attribute("item", item)
        try:
            from_cache(wrong)
        except OutOfDate:
            time.sleep(0.002)  # From the database, then; nothing outside shows it.
    if wrong == "error":
        raise RuntimeError("the reviews of this item cannot be read")
    with tracer.start_as_current_span("rank reviews"):
        rating = call("ratings", f"/ratings/{item}")
    return jsonify(item=item, rating=rating.json())


def from_cache(wrong: str) -> None:
    with tracer.start_as_current_span("read cache"):
        time.sleep(0.001)
        if wrong == "swallowed":
            raise OutOfDate("the cache is of version 1, the code of version 2")


@app.get("/ratings/<int:item>")
def ratings(item: int) -> Response:
    return jsonify(item % 5 + 1)


@app.get("/translations/<int:item>")
def translations(item: int) -> tuple[Response, int]:
    """An external call: the translator is outside the mesh."""
    answer = call("translator", f"/translate/{item}")
    return jsonify(translated=answer.ok), 200 if answer.ok else 502


@app.post("/reviews/<int:item>")
def review(item: int) -> tuple[Response, int]:
    """Answers at once; a thread does the rest."""
    threading.Thread(target=index, args=(item,), name="index").start()
    return jsonify(accepted=item), 202


def index(item: int) -> None:
    with tracer.start_as_current_span("index review"):
        time.sleep(0.005)
        indexed.add(item)


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=PORT, threaded=True)

"""Reviews of a shop's items, with FastAPI: the same operations as flask_service.py, on one event loop.

    opentelemetry-instrument python fastapi_service.py

PORT, OUTBOUND and FAILURES are as there.
"""

import asyncio
import os
import random
import threading
import time

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from opentelemetry import trace

PORT = int(os.environ.get("PORT", "8082"))
OUTBOUND = os.environ.get("OUTBOUND") or f"http://127.0.0.1:{PORT}"
FAILURES = float(os.environ.get("FAILURES", "0"))
PATIENCE_SECONDS = 2.0

app = FastAPI()
tracer = trace.get_tracer("reviews")
indexed: set[int] = set()


class OutOfDate(Exception):
    """The cache has reviews of another version."""


def fault(request: Request) -> str:
    """What goes wrong with this request: as the caller wants it, or by chance."""
    by_chance = random.choice(("error", "swallowed")) if random.random() < FAILURES else ""
    return request.headers.get("x-demo-fault", by_chance)


async def call(host: str, path: str) -> httpx.Response:
    """Asks another service, by its name, through the sidecar."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        return await client.get(OUTBOUND + path, headers={"host": host})


@app.get("/healthz")
async def healthz() -> str:
    return "ok"


@app.get("/reviews/{item}")
async def reviews(item: int, request: Request) -> dict[str, object]:
    wrong = fault(request)
    with tracer.start_as_current_span("load reviews") as span:
        span.set_attribute("item", item)
        try:
            await from_cache(wrong)
        except OutOfDate:
            await asyncio.sleep(0.002)  # From the database, then; nothing outside shows it.
    if wrong == "error":
        raise RuntimeError("the reviews of this item cannot be read")
    with tracer.start_as_current_span("rank reviews"):
        rating = await call("ratings", f"/ratings/{item}")
    return {"item": item, "rating": rating.json()}


async def from_cache(wrong: str) -> None:
    with tracer.start_as_current_span("read cache"):
        await asyncio.sleep(0.001)
        if wrong == "swallowed":
            raise OutOfDate("the cache is of version 1, the code of version 2")


@app.get("/ratings/{item}")
async def ratings(item: int) -> int:
    return item % 5 + 1


@app.get("/translations/{item}")
async def translations(item: int, response: Response) -> dict[str, bool]:
    """An external call: the translator is outside the mesh."""
    answer = await call("translator", f"/translate/{item}")
    response.status_code = 200 if answer.is_success else 502
    return {"translated": answer.is_success}


@app.post("/reviews/{item}", status_code=202)
async def review(item: int) -> dict[str, int]:
    """Answers at once; a thread does the rest."""
    threading.Thread(target=index, args=(item,), name="index").start()
    return {"accepted": item}


def index(item: int) -> None:
    with tracer.start_as_current_span("index review"):
        time.sleep(0.005)
        indexed.add(item)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")

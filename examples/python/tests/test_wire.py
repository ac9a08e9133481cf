"""The wire, against the tables of the page that defines it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracelift_otel import wire

PAGE = Path(__file__).parents[3] / "docs" / "applications.md"
TRACE = 0x0AF7651916CD43DD8448EB211C80319C
ID = f"{TRACE:032x}"
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"


def vectors() -> list[list[str]]:
    rows = [line.strip("| \n").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    return [[cell.strip(" `") for cell in row] for row in rows if len(row) == 5 and len(row[4].strip(" `")) == 64]


def test_the_page_has_vectors() -> None:
    assert len(vectors()) == 3


@pytest.mark.parametrize(("key", "time", "path", "audience", "mac"), vectors())
def test_a_mac_is_the_one_of_the_page(key: str, time: str, path: str, audience: str, mac: str) -> None:
    assert wire.authenticate(key, wire.UPGRADES_MARK, int(time), audience, path) == mac


def test_the_request_is_the_one_of_the_page() -> None:
    path = wire.upgrades_path("9f2c41d07b5e8a63.1041")
    headers = wire.upgrades_headers("a-token-of-the-pod", "127.0.0.1", path, 1764371001)
    page = PAGE.read_text(encoding="utf-8")
    assert f"GET {path} HTTP/1.1" in page
    for name, value in headers.items():
        assert f"\n{name}: {value}\n" in page
    assert not any("a-token" in value for value in headers.values())


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (f"2;upgraded;{ID}", wire.Verdict.UPGRADED),
        (f"2;shed;{ID}", wire.Verdict.SHED),
        (f"2;kept;{ID}", None),
        (f"2;upgraded;{ID};later=1", wire.Verdict.UPGRADED),
        (f"2;upgraded;{ID};", None),
        (f"2;upgraded;{ID};a b", None),
        (f"3;upgraded;{ID}, 2;upgraded;{ID}", wire.Verdict.UPGRADED),
        (f"2;shed;{ID},\t2;upgraded;{ID}", wire.Verdict.UPGRADED),
        (f"2;upgraded;{OTHER}, 2;shed;{ID}", wire.Verdict.SHED),
        (f"3;upgraded;{ID}", None),
        (f"1;upgraded;{ID}", None),
        (f"2;upgraded;{OTHER}", None),
        (f"2;upgraded;{ID.upper()}", None),
        (f"2;Upgraded;{ID}", None),
        ("2;upgraded", None),
        ("2;upgraded;" + "0" * 32, None),
        (f"00-{ID}-b7ad6b7169203331-01", None),
        ("", None),
        (",,,", None),
        (", , , ," + f"2;upgraded;{ID}", None),
        ("x" * 512 + f",2;upgraded;{ID}", None),
    ],
)
def test_a_signal_counts_for_its_trace_and_version_alone(value: str, verdict: wire.Verdict | None) -> None:
    assert wire.read_signal([value], TRACE) is verdict


def test_a_signal_that_is_written_is_read_and_several_fields_are_one() -> None:
    written = wire.write_signal(TRACE)
    assert written == f"2;upgraded;{ID}"
    assert wire.read_signal(["db;dur=1", written], TRACE) is wire.Verdict.UPGRADED


def test_an_answer_of_the_page_is_read() -> None:
    value = PAGE.read_text(encoding="utf-8").split("\nx-tracelift-upgrades: ")[1].splitlines()[0]
    answer = wire.read_upgrades(value)
    assert answer == wire.Upgrades("9f2c41d07b5e8a63.1043", 0, (TRACE, int(OTHER, 16)))
    assert not answer.is_full


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("1;a.1;0;", wire.Upgrades("a.1", 0, ())),
        (f"1;a.1;7;{ID};more=1", wire.Upgrades("a.1", 7, (TRACE,))),
        ("1;" + "c" * 64 + ";0;", wire.Upgrades("c" * 64, 0, ())),
        ("1;" + "c" * 65 + ";0;", None),
        ("1;;0;", None),
        ("1;a b;0;", None),
        ("1;a;-1;", None),
        ("1;a;;", None),
        ("1;a;0", None),
        (f"1;a;0;{ID},", None),
        (f"1;a;0;{ID.upper()}", None),
        ("1;a;0;" + "0" * 32, None),
        (f"2;a;0;{ID}", None),
        ("1", None),
        ("", None),
        ("1;a;0;" + ",".join([ID] * 129), None),
        ("1;a;0;" + ",".join([ID] * 1000), None),
    ],
)
def test_an_answer_is_read_or_refused_whole(value: str, read: wire.Upgrades | None) -> None:
    assert wire.read_upgrades(value) == read


def test_an_answer_with_as_many_ids_as_fit_is_full() -> None:
    answer = wire.read_upgrades("1;a;0;" + ",".join([ID] * wire.MAX_LISTED))
    assert answer is not None
    assert answer.is_full

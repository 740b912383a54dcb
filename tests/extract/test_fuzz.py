"""Answers of any shape, read by the real client: an error of this provider or the right rows, and nothing between."""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec, endpoints
from airflow_provider_robofy.api.client import Clock, RobofyClient
from airflow_provider_robofy.api.errors import RobofyError
from airflow_provider_robofy.api.settings import RateLimiter, Settings
from airflow_provider_robofy.api.transport import Received
from airflow_provider_robofy.extract import messages as messages_module
from airflow_provider_robofy.extract.landed import open_uri, rows
from airflow_provider_robofy.extract.privacy import PrivacyPolicy, check_rules
from airflow_provider_robofy.resources import LEADS, MESSAGES, RESOURCES
from tests.extract.conftest import land_sessions, make_extraction
from tests.extract.runs import NOW, make_cursor_run, make_listing_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.resources import Resource

#: The same examples in every run.
BUDGET = settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


def nest(depth: int) -> Any:
    value: Any = "x"
    for number in range(depth):
        value = [value] if number % 2 else {"x": value}
    return value


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["\ud83d", "\x00", "0001-01-01T00:00:00Z", "9999-12-31 23:59:59", -62135596800, 1e300, 10**40]),
)
VALUES = st.recursive(
    SCALARS | st.builds(nest, st.sampled_from([300, 1_200])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)
TIMES: st.SearchStrategy[Any] = st.sampled_from(
    [
        "2025-01-15 10:30:00", "2025-05-31T10:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", -62135596800,
        1736937000, 1736937000000, "", None, 0, "0002-01-01 00:00:00", "15/01/2025", {}, "0001-01-01T00:00:00+14:00",
    ]
)  # fmt: skip
NAMES = st.text(max_size=8).filter(lambda name: not name.startswith("_") and name.encode(errors="ignore"))


def row_of(resource: Resource) -> st.SearchStrategy[tuple[bool, Any]]:
    """Return a strategy for a row, and whether it is well-formed."""
    if resource is MESSAGES:
        good = st.dictionaries(NAMES, SCALARS, max_size=4)
    else:
        ids = st.text(min_size=1, max_size=6) | st.integers(-(2**70), 2**70)
        good = st.builds(
            lambda fields, row_id, at: {**fields, resource.id: row_id, resource.time: at},
            st.dictionaries(NAMES, SCALARS, max_size=3),
            ids,
            TIMES,
        )
    bad = VALUES | st.dictionaries(st.sampled_from(["id", "session_id", "_chatbot_id", "created_at", "x"]), VALUES)
    return good.map(lambda row: (True, row)) | bad.map(lambda row: (False, row))


def envelopes(key: str) -> list[Callable[[list[Any], Any], Any]]:
    return [
        lambda rows, token: {key: rows, "nextPageToken": token},
        lambda rows, token: {"message": "ok", "data": {key: rows, "nextPageToken": token}},
        lambda rows, token: {"success": True, "error": None, "errors": [], key: rows, "nextPageToken": token},
    ]


#: What may become of an answer on its way. What it then says is not known, only that it ends in order.
MUTATIONS: list[Callable[[Any], Any]] = [
    lambda answer: [answer],
    lambda answer: {"success": False, **answer},
    lambda answer: {"error": {"code": "INTERNAL_ERROR"}, **answer},
    lambda answer: {**answer, "status": "error"},
    lambda answer: {**answer, "nextPageToken": {"x": 1}},
    lambda answer: {**answer, "data": "text"},
    lambda answer: {**answer, "cursor": ["x"]},
    lambda _: None,
    lambda _: [],
    lambda _: {"rows": {"0": {}}},
    lambda _: "text",
    lambda _: nest(1_200),
    lambda answer: {"data": {"data": {"data": answer}}},
]


@st.composite
def listings(draw: st.DrawFn, resource: Resource) -> tuple[list[bytes], list[Any], bool]:
    """Draw a listing: the bodies of its pages, their well-formed rows, and whether every answer came as it should."""
    key = {"leads": "rows", "sessions": "sessions", "messages": "messages"}[resource.name]
    pages = draw(st.lists(st.lists(row_of(resource), max_size=5), min_size=1, max_size=3))
    envelope = draw(st.sampled_from(envelopes(key)))
    whole = True
    bodies = []
    for number, page in enumerate(pages, 1):
        answer = envelope([row for _, row in page], str(number) if number < len(pages) else None)
        if draw(st.integers(0, 9)) == 0:
            answer, whole = draw(st.sampled_from(MUTATIONS))(answer), False
        body = json.dumps(answer).encode()
        if draw(st.integers(0, 9)) == 0:
            at = draw(st.integers(0, len(body)))
            body, whole = body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 3)) :], False
        bodies.append(body)
    return bodies, [row for page in pages for is_good, row in page if is_good], whole


class Scripted:
    """Answer with one body after the other; behind the last one the server is down."""

    def __init__(self, bodies: list[bytes]) -> None:
        self._bodies = iter(bodies)

    def send(self, *_: Any) -> Received:
        body = next(self._bodies, None)
        return Received(500, {}, b"") if body is None else Received(200, {"content-type": "application/json"}, body)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def client_of(bodies: list[bytes]) -> RobofyClient:
    client = RobofyClient(Settings(api_key="k", max_attempts=1), clock=Clock(now=lambda: NOW))
    client._limiter = RateLimiter(None)
    client._idle = [Scripted(bodies)]  # type: ignore[list-item]
    return client


def land(resource: Resource, bodies: list[bytes], folder: Path, privacy: PrivacyPolicy | None) -> dict[str, Any]:
    cursor = make_cursor_run(
        open_uri(str(folder / "cursor.json")), lag=timedelta(days=400), keep_ids=not resource.id_is_personal
    )
    call = endpoints.list_leads(24017, "a") if resource is LEADS else endpoints.list_sessions("a")
    client = client_of(bodies)
    store, lag = open_uri(str(folder / "rows.jsonl")), timedelta(days=400)
    listing = make_listing_run(store, resource=resource.name, lag=lag, cursor=cursor, privacy=privacy)
    return listing.land(client.pages(call), lambda: client.requests).as_dict()


def land_messages(bodies: list[bytes], folder: Path, privacy: PrivacyPolicy | None) -> dict[str, Any]:
    manifest = land_sessions(folder / "sessions.jsonl", [{"session_id": "s"}])
    more = {"privacy": privacy, "max_concurrency": 1, "max_rejected": 10**6}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages_module, "RobofyClient", lambda _: client_of(bodies))
        return make_extraction(manifest, folder / "rows.jsonl", **more).run().as_dict()


@pytest.mark.parametrize("private", [False, True], ids=["plain", "private"])
@pytest.mark.parametrize("name", ["leads", "sessions", "messages"])
def test_any_answer_gives_an_error_of_ours_or_every_good_row(name, private):
    resource = RESOURCES[name]
    privacy = (
        PrivacyPolicy(check_rules({"session_id": "keep", "x": "hash", "source": "drop"}, "privacy"), "k" * 32, resource)
        if private
        else None
    )
    seen = {"landed": 0, "refused": 0}

    @BUDGET
    @given(listing=listings(resource))
    def check(listing: tuple[list[bytes], list[Any], bool]) -> None:
        bodies, good, whole = listing
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            try:
                if resource is MESSAGES:
                    manifest = land_messages(bodies, folder, privacy)
                else:
                    manifest = land(resource, bodies, folder, privacy)
            except RobofyError:
                assert not whole
                seen["refused"] += 1
                return
            landed = list(rows(manifest))
        seen["landed"] += 1
        assert manifest["received"] == manifest["rows"] + manifest["duplicates"] + manifest["rejected"]
        if not whole:
            return
        if resource is MESSAGES:
            assert len(landed) >= len(good)
            if privacy is None:
                ours = [codec.dump_line({k: v for k, v in row.items() if not k.startswith("_")}) for row in landed]
                assert all(codec.dump_line(codec.loads(json.dumps(row).encode())) in ours for row in good)
        else:
            assert {row[resource.key] for row in good} <= {row[resource.key] for row in landed}

    check()
    # Both happen, or nothing was tried.
    assert min(seen.values()) > 10

"""Reading a listing far enough to know it, and what came of that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.client import Listing
from airflow_provider_robofy.api.errors import RobofyResponseError
from airflow_provider_robofy.probe.alternatives import alternatives
from airflow_provider_robofy.probe.failure import MISSING, Failure
from airflow_provider_robofy.probe.shapes import Envelope, Sight, sighted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.client import Answered
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.probe.asking import Asker
    from airflow_provider_robofy.probe.rows import RowsStudy


@dataclass(slots=True)
class ListingSeen:
    """Hold what was seen of a listing, be it one or several of the same endpoint.

    :param endpoint: Endpoint name.
    :param study: What the rows look like.
    """

    endpoint: str
    study: RowsStudy
    #: Path template that answered instead of the one in use, if one did.
    elsewhere: str | None = None
    #: Why the first page could not be had.
    failure: Failure | None = None
    #: Why a later one could not.
    stopped: Failure | None = None
    #: What the provider would have failed with: see :class:`Sight`.
    trouble: str = ""
    envelope: Envelope | None = None
    #: Envelope of a page that announced another one.
    announcing: Envelope | None = None
    end_markers: list[str] = field(default_factory=list)
    circular: bool = False
    #: The server's clock, and ours where it bears none, when the first page came.
    first_at: datetime | None = None

    @property
    def answers(self) -> int:
        """Return how many pages came."""
        return self.study.pages


def read_listing(
    asker: Asker,
    call: Call[Rows],
    seen: ListingSeen,
    pages: int,
    *,
    project_id: str | None = None,
    look: Callable[[list[Any]], object] | None = None,
) -> None:
    """Read the first pages of a listing.

    :param asker: Asks.
    :param call: The listing's first call.
    :param seen: Takes what is seen.
    :param pages: How many pages at most.
    :param project_id: For paths to try where the usual one does not exist; None tries none.
    :param look: Looks at the rows of each page besides.
    """
    first = sighted(call)
    answer = asker.ask(first)
    if isinstance(answer, Failure) and answer.kind == MISSING and not answer.thing and project_id:
        answer = _elsewhere(asker, first, seen, project_id) or answer
    if isinstance(answer, Failure):
        seen.failure = seen.failure or answer
        return
    listing = Listing(first)
    for _ in range(pages):
        _note(answer, seen)
        rows = answer.value.items
        seen.study.take(rows)
        if look is not None:
            look(rows)
        try:
            page = listing.accept(answer)
        except RobofyResponseError:
            seen.circular = True
            return
        if listing.call is None:
            if page.end_marker is not None and not seen.trouble:
                seen.end_markers.append(page.end_marker)
            return
        if listing.pages >= pages:
            return
        further = asker.ask(listing.call)
        if isinstance(further, Failure):
            seen.stopped = further
            return
        answer = further


def _elsewhere(asker: Asker, first: Call[Rows], seen: ListingSeen, project_id: str) -> Answered[Rows] | None:
    for template in alternatives(seen.endpoint, project_id, asker.template(seen.endpoint)):
        answer = asker.ask(first, template=template)
        if isinstance(answer, Failure):
            if answer.kind != MISSING:
                return None
        elif isinstance(answer.value, Sight) and not answer.value.trouble:
            asker.use(seen.endpoint, template)
            seen.elsewhere = template
            return answer
    return None


def _note(answer: Answered[Rows], seen: ListingSeen) -> None:
    sight = answer.value
    if not isinstance(sight, Sight):
        return
    seen.first_at = seen.first_at or answer.date or answer.requested_at
    seen.trouble = seen.trouble or sight.trouble
    seen.envelope = seen.envelope or sight.envelope
    if sight.token is not None and seen.announcing is None:
        seen.announcing = sight.envelope


def first_page(asker: Asker, call: Call[Rows]) -> tuple[list[Any], datetime] | Failure:
    """Read the first page again and return its rows, and the server's clock."""
    answer = asker.ask(sighted(call))
    if isinstance(answer, Failure):
        return answer
    return answer.value.items, answer.date or answer.requested_at

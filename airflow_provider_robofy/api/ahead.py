"""Read a listing several pages at a time, with the outcome of one page after another."""

from __future__ import annotations

import logging
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyCallError, RobofyError, RobofyRateLimitError
from airflow_provider_robofy.api.pages import Listing
from airflow_provider_robofy.api.tokens import foresee
from airflow_provider_robofy.api.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.client import Answered, RobofyClient
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.api.pages import Page
    from airflow_provider_robofy.api.tokens import TokenForm

#: From so many seconds that an answer takes, pages are asked for ahead. For faster ones the threads would wait for each
#: other, and not for the network.
SLOW: Final = 0.01
#: Of so many rows at least the ids are remembered: no more can arrive while a request is under way.
_REMEMBERED: Final = 10_000
#: Seconds between two checks whether the task was killed.
_SLICE: Final = 0.1
#: Where two tokens without padding could be of either kind, a third one with another length tells.
_MOST_FORMS: Final = 1
#: Seconds to wait at the end for requests that were cancelled.
_PATIENCE: Final = 1.0

_log = logging.getLogger(__name__)


class PagesAhead:
    """Read a listing, and ask for pages before the ones that name them have come, where their tokens can be foreseen.

    A page that was asked for ahead is used only if the page before names exactly its token. Otherwise the read goes on
    one page after another. An error of such a page counts for nothing: when it is its turn, the page is asked for
    again, under the usual rules.

    Rows that arrive while pages are read push others on. One page after another, such a row is seen twice; side by
    side, it could be missed, because a later page may have been served before an earlier one. So as soon as a page
    shows an id that an earlier page has shown, all pages that were asked for ahead are asked for again, that page
    included. A page that seems to be the last one is asked for again too: rows may have been added at the end.

    :param client: Asks for pages whose token is known.
    :param first: Call for the first page.
    :param row_id: The rows' field that identifies them. A listing with a row without it is never read ahead.
    """

    def __init__(self, client: RobofyClient, first: Call[Rows], row_id: str) -> None:
        self._client = client
        self._listing = Listing(first)
        self._row_id = row_id
        self._most = client.settings.max_parallel_pages
        #: How many pages may be under way: grows from page to page, halves where the server is overloaded.
        self._width = 1
        self._troubled = False
        self._form: TokenForm | None = None
        #: The token of the next page, and how many pages it is after the one that the form begins with.
        self._token: str | None = None
        self._number = 0
        #: Forms that turned out to be wrong.
        self._forms = 0
        self._usable = True
        #: Pages that were asked for ahead, by token; those that are not wanted any more; and how many were used.
        self._ahead: dict[str, Future[Answered[Rows]]] = {}
        self._dropped: list[Future[Answered[Rows]]] = []
        self._used = 0
        #: Hashes of the latest ids, and of those before them. Two that are equal by chance cost some requests, no more.
        self._ids: set[int] = set()
        self._older_ids: set[int] = set()
        self._workers: Workers | None = None
        self._helper: RobofyClient | None = None

    def pages(self) -> Iterator[Page]:
        """Yield the pages in order.

        :raises RobofyError: The listing could not be read to its end.
        """
        try:
            while (call := self._listing.call) is not None:
                answered = self._answer(call)
                page = self._listing.accept(answered)
                if self._usable:
                    self._follow(answered.value.token, page)
                yield page
        finally:
            self._stop()

    def _answer(self, call: Call[Rows]) -> Answered[Rows]:
        """Return the answer to the next page: one that was asked for ahead, or else a new one."""
        self._client.check_cancelled()
        # Not the first page, for which a connection is made, and not beside others.
        measured = self._listing.pages > 0 and not self._ahead
        if self._token is not None and (future := self._ahead.pop(self._token, None)) is not None:
            try:
                answered = self._result(future)
            except RobofyError as error:
                self._client.check_cancelled()
                self._slow_down(error)
            else:
                hashes = self._hashes(answered.value.items)
                # Without ids nothing shows that rows have moved, and rows may have been added after a last page.
                if hashes and answered.value.token is not None and not self._seen(hashes):
                    self._used += 1
                    return answered
                self._drop()
                self._width = 1
        began = time.monotonic()
        try:
            answered = self._client.exchange(call)
        except RobofyCallError as error:
            if self._listing.pages:
                error.page = self._listing.pages + 1
            raise
        if measured and time.monotonic() - began < SLOW:
            self._give_up()
        return answered

    def _result(self, future: Future[Answered[Rows]]) -> Answered[Rows]:
        while True:
            try:
                return future.result(timeout=_SLICE)
            except TimeoutError:
                self._client.check_cancelled()

    def _follow(self, token: str | None, page: Page) -> None:
        """Learn from a page, and ask for those after the next one.

        :param token: The token of the next page.
        :param page: The page that named it.
        """
        before, self._token = self._token, token
        if not self._remember(page) or token is None:
            return
        self._number += 1
        if self._form is not None and self._form.token(self._number) != token:
            _log.info("The page tokens count in another way than before.")
            self._drop()
            self._forms += 1
            self._form = None
        if self._form is None and before is not None:
            self._form, self._number = foresee(before, token, len(page.rows)), 0
            if self._form is None or self._forms > _MOST_FORMS:
                self._give_up()
                return
        if self._form:
            self._width = min(self._most, self._width + 1 if self._troubled else self._width * 2)
            self._ask_ahead(self._form)

    def _remember(self, page: Page) -> bool:
        """Take the ids of a page, and return whether pages may be asked for ahead now."""
        hashes = self._hashes(page.rows)
        if not hashes and page.rows:
            self._give_up()
            return False
        shifted = self._seen(hashes)
        self._ids |= hashes
        if len(self._ids) >= _REMEMBERED:
            self._ids, self._older_ids = set(), self._ids
        if shifted:
            self._number += 1
            self._drop()
            self._width = 1
        return not shifted

    def _seen(self, hashes: set[int]) -> bool:
        return not (self._ids.isdisjoint(hashes) and self._older_ids.isdisjoint(hashes))

    def _hashes(self, rows: list[Any]) -> set[int]:
        """Return the hashes of the rows' ids; none where a row has no id."""
        try:
            ids = {row[self._row_id] for row in rows}
        except (TypeError, KeyError):
            return set()
        return set() if None in ids or "" in ids else {hash(one) for one in ids}

    def _ask_ahead(self, form: TokenForm) -> None:
        """Ask for pages until as many are under way, with the next one, as the width allows."""
        if self._workers is None or self._helper is None:
            self._workers = Workers(self._most, "robofy-pages")
            self._helper = self._client.helper()
        for position in range(1, self._width):
            token = form.token(self._number + position)
            if token not in self._ahead:
                self._ahead[token] = self._workers.submit(self._helper.exchange, self._listing.call_for(token))

    def _slow_down(self, error: RobofyError) -> None:
        """Take an error of a page that was asked for ahead, and whose turn has come."""
        if not getattr(error, "transient", False):
            # Were it an error of the page itself, it would be one of the read: the page is asked for again.
            _log.info("A page that was asked for ahead was refused: the rest is read one page after another.")
            self._give_up()
            return
        self._troubled = True
        self._width = max(1, self._width // 2)
        if isinstance(error, RobofyRateLimitError) and error.retry_after:
            self._client.hold(error.retry_after)

    def _drop(self) -> None:
        """Forget the pages that were asked for ahead."""
        for future in self._ahead.values():
            future.cancel()
        # Those that are done are not kept: each contains a page.
        self._dropped = [future for future in (*self._dropped, *self._ahead.values()) if not future.done()]
        self._ahead.clear()

    def _give_up(self) -> None:
        """Read the rest one page after another."""
        self._drop()
        self._usable, self._form = False, None
        self._ids.clear()
        self._older_ids.clear()

    def _stop(self) -> None:
        """End what is under way, and count it."""
        self._drop()
        if self._workers is not None and self._helper is not None:
            self._workers.stop()
            self._helper.cancel()
            wait(self._dropped, timeout=_PATIENCE)
            self._client.release_helpers(used=self._used)

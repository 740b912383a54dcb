"""The operator that crawls a website."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_robofy.api.answers import meaning_of
from airflow_provider_robofy.api.endpoints import add_website
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyCrawlError, RobofyNotFoundError
from airflow_provider_robofy.api.models import CrawlRun, parse
from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.knowledge.crawl import CrawlStatus, crawl_status
from airflow_provider_robofy.operators.base import RobofyBaseOperator, failing_at_once
from airflow_provider_robofy.triggers.base import default_deferrable, defer, wait_on_worker
from airflow_provider_robofy.triggers.events import value_of
from airflow_provider_robofy.triggers.knowledge import RobofyCrawlTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

#: Seconds after its start for which Robofy may not know of a crawl.
GRACE = 60.0


class RobofyCrawlWebsiteOperator(RobofyBaseOperator):
    """Start a crawl of a website for an agent, and wait until it is complete.

    Usage::

        RobofyCrawlWebsiteOperator(
            task_id="crawl",
            start_urls=["https://example.com"],
            exclude_urls=["https://example.com/shop"],
            max_pages=200,
            deferrable=True,
            timeout=3 * 3600,
        )

    The run id is in XCom as ``run_id`` before the wait begins. The API's status call takes no run id and answers with
    the status of the agent's crawling, so two crawls of one agent at a time are waited for as one.

    A retry asks for the status first. It waits for a crawl that is still running, also for one that a person has
    started, and starts no second one. A complete crawl counts if Robofy says that it began after this DAG run did.
    Otherwise the retry starts another crawl.

    :param start_urls: http or https addresses that the crawl starts from. (templated)
    :param project_id: Project of the agent. Default: the connection's. (templated)
    :param chatbot_id: The agent. Default: the connection's. (templated)
    :param include_urls: Addresses that the crawl is limited to. Robofy does not document how they are matched.
        (templated)
    :param exclude_urls: Addresses that the crawl leaves out, matched in the same way. (templated)
    :param max_pages: Largest number of pages (``max_crawl_pages``). Default: Robofy's.
    :param max_depth: Largest number of links from a start address to a page (``max_crawl_depth``). Default: Robofy's.
    :param use_sitemap: Whether the crawl reads the site's sitemap. Default: Robofy's.
    :param is_main_website: Whether this is the agent's main website. Default: Robofy's.
    :param crawl_mode: Number of a mode; Robofy does not document which there are. Default: Robofy's.
    :param vector_provider: Number of a provider; Robofy does not document which there are. Default: Robofy's.
    :param wait_for_completion: False returns as soon as the crawl has started. Default True.
    :param deferrable: True waits in the triggerer, without a worker. Default: ``[operators] default_deferrable``.
    :param poll_interval: Time between two polls, as a timedelta or in seconds; at least ten seconds when deferred.
        Default 60.
    :param timeout: How long each try waits before it fails, as a timedelta or in seconds; the crawl goes on. Default
        four hours.
    :param robofy_conn_id: Id of the Robofy connection. (templated)
    :return: ``run_id``, ``status`` (Robofy's word) and ``started_at``.
    :raises AirflowFailException: Key, ids, connection or an address are wrong, so that a retry cannot help. An address
        that is not http(s) is refused before any call.
    :raises RobofyCrawlError: The crawl failed or took too long; the task's retries apply.
    :raises RobofyError: The API failed; the task's retries apply.
    """

    template_fields: Sequence[str] = (
        "start_urls",
        "project_id",
        "chatbot_id",
        "include_urls",
        "exclude_urls",
        "robofy_conn_id",
    )

    def __init__(
        self,
        *,
        start_urls: str | Sequence[str],
        project_id: str | int | None = None,
        chatbot_id: str | None = None,
        include_urls: Sequence[str] | None = None,
        exclude_urls: Sequence[str] | None = None,
        max_pages: int | None = None,
        max_depth: int | None = None,
        use_sitemap: bool | None = None,
        is_main_website: bool | None = None,
        crawl_mode: int | None = None,
        vector_provider: int | None = None,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: timedelta | float = 60,
        timeout: timedelta | float = 4 * 3600,
        robofy_conn_id: str = RobofyHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(robofy_conn_id=robofy_conn_id, **kwargs)
        self.start_urls = start_urls
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.include_urls = include_urls
        self.exclude_urls = exclude_urls
        self.max_pages = max_pages
        self.max_depth = max_depth
        self.use_sitemap = use_sitemap
        self.is_main_website = is_main_website
        self.crawl_mode = crawl_mode
        self.vector_provider = vector_provider
        self.wait_for_completion = wait_for_completion
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = read_duration("poll_interval", poll_interval, zero=False).total_seconds()
        self.timeout = read_duration("timeout", timeout).total_seconds()
        self.remember_given()

    def work(self, context: Context) -> dict[str, Any]:
        """Start a crawl, unless this is a retry and one is under way, and wait for it."""
        ids = self.ids()
        body = self._body(ids)
        found = self._found(context, ids) if getattr(context["ti"], "try_number", 1) > 1 else None
        run = self._start(body) if found is None else found.as_dict()
        context["ti"].xcom_push(key="run_id", value=run["run_id"])
        if not self.wait_for_completion or (found is not None and found.state == "completed"):
            return run
        trigger = RobofyCrawlTrigger(
            **ids,
            run_id=run["run_id"],
            started_at=run["started_at"],
            unknown_until=time.time() + GRACE,
            robofy_conn_id=self.robofy_conn_id,
            poll_interval=self.poll_interval,
            deadline=time.time() + self.timeout,
        )
        if self.deferrable:
            defer(self, trigger)
        # It sleeps first: a poll right after the start might still be told of the crawl before.
        result: dict[str, Any] | None = wait_on_worker(self, trigger)
        if result is None:
            raise self._too_long()
        return result

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Return the result that the trigger's event has, or raise its error."""
        with failing_at_once():
            result: dict[str, Any] = value_of(event, on_timeout=self._too_long())
        return result

    def _too_long(self) -> RobofyCrawlError:
        return RobofyCrawlError(
            f"The crawl was not complete within {self.timeout:g} seconds. It goes on, and a retry waits for it; or "
            "raise timeout."
        )

    def _start(self, body: dict[str, Any]) -> dict[str, Any]:
        call = add_website(body)
        answer = self.client.call(call)
        run = parse(CrawlRun, answer, call, self.hook.connection.times)
        if meaning_of(run.status) is not None:
            raise RobofyCrawlError(f"Robofy did not start a crawl: it answered with the status {run.status!r}.")
        self.log.info("Robofy has started crawl %r.", run.run_id)
        started_at = answer.get("started_at")
        return {
            "run_id": run.run_id,
            "status": run.status,
            "started_at": started_at if isinstance(started_at, str | int | float) else None,
        }

    def _found(self, context: Context, ids: dict[str, str]) -> CrawlStatus | None:
        """Return the crawl that an earlier attempt has started, or may have started; None if there is none."""
        try:
            status = CrawlStatus.read(crawl_status(self.client, **ids))
        except RobofyNotFoundError:
            return None
        began = getattr(context.get("dag_run"), "start_date", None)
        # A status without a word, such as {"message": "No crawl found"}, is of no run.
        if status.state == "running" or (status.state == "unknown" and status.word is not None):
            self.log.info("A crawl of this agent is under way (status %r), so none is started.", status.word)
            return status
        if status.state == "completed" and began and status.began_after(began, self.hook.connection.times):
            self.log.info("A crawl that began after this run did is complete, so none is started.")
            return status
        return None

    def _body(self, ids: dict[str, str]) -> dict[str, Any]:
        options = {
            "vector_provider": self.vector_provider,
            "max_crawl_pages": self.max_pages,
            "max_crawl_depth": self.max_depth,
            "include_urls": _list("include_urls", self.include_urls),
            "exclude_urls": _list("exclude_urls", self.exclude_urls),
            "use_sitemap": None if self.use_sitemap is None else str(int(self.use_sitemap)),
            "is_main_website": self.is_main_website,
            "crawl_mode": self.crawl_mode,
        }
        urls = _list("start_urls", self.start_urls)
        if not urls:
            raise RobofyConfigError("start_urls is empty: give at least one http or https address.")
        for position, url in enumerate(urls):
            if not _is_http(url):
                raise RobofyConfigError(f"start_urls[{position}] is not an http or https address: {url[:100]!r}.")
        body = {"start_urls": [{"url": url} for url in urls], **ids}
        return body | {name: value for name, value in options.items() if value is not None}


def _list(name: str, value: object) -> list[str] | None:
    if value is None or isinstance(value, str):
        return None if value is None else [value.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise RobofyConfigError(f"{name} must be a list of addresses.")
    return [one.strip() for one in value]


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in url
    except ValueError:
        return False

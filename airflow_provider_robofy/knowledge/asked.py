"""Ask an agent questions, and land them with its answers and the verdicts in a file."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from concurrent.futures import wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import send_message
from airflow_provider_robofy.api.errors import (
    RobofyBadRequestError,
    RobofyCallError,
    RobofyResponseError,
)
from airflow_provider_robofy.api.workers import Workers
from airflow_provider_robofy.extract.landing import Landing
from airflow_provider_robofy.extract.manifest import Manifest, identity
from airflow_provider_robofy.knowledge.questions import LONGEST_ANSWER
from airflow_provider_robofy.resources import CHATBOT_ID, POSITION, PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from concurrent.futures import Future

    from airflow_provider_robofy.api.settings import Settings
    from airflow_provider_robofy.extract.files import Store
    from airflow_provider_robofy.knowledge.questions import Question

RESOURCE: Final = "answers"
#: Robofy's fair use of chat (docs.robofy.ai): messages of an account in a minute and in a day.
PER_MINUTE: Final = 30
PER_DAY: Final = 5_000
DAY: Final = 24 * 3600.0
#: Questions at a time: an agent may take longer than two seconds to answer.
AT_A_TIME: Final = 4
#: Failed questions that a manifest names.
MOST_NAMED: Final = 50
#: Questions in a row without an answer after which no more are asked: the others would have none either.
GIVE_UP: Final = 5

#: Seconds between two checks for cancellation, and seconds to wait for cancelled requests.
_SLICE, _PATIENCE = 0.1, 1.0

PASSED: Final = "passed"
FAILED: Final = "failed"
UNANSWERED: Final = "unanswered"

_log = logging.getLogger(__name__)


def shortest_time(count: int, per_minute: float = PER_MINUTE) -> timedelta:
    """Return how long so many questions take at least, within Robofy's limits a minute and a day.

    :param count: Number of questions.
    :param per_minute: Questions a minute. Default 30.
    """
    days, rest = divmod(count - 1, PER_DAY)
    return timedelta(seconds=days * DAY + round(rest * 60 / per_minute))


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedManifest(Manifest):
    """What became of questions, in counts that add up. No answer and no session id.

    Each question is a row, so ``rows == received == passed + failed + unanswered``.

    :param questions_uri: The file of the questions, or None for a list.
    :param passed: Questions whose answer is as it must be.
    :param failed: Questions whose answer is not.
    :param unanswered: Questions without an answer.
    :param score: Share of the questions that passed, from 0 to 1.
    :param min_score: The least score with which the task succeeds.
    :param not_passed: The first 50 questions that did not pass, each cut to 80 characters.
    """

    questions_uri: str | None
    passed: int
    failed: int
    unanswered: int
    score: float
    min_score: float
    not_passed: list[str]


@dataclass(kw_only=True, repr=False, eq=False)
class Asking:
    """Ask an agent questions, four at a time, each in a session of its own, and land the answers.

    :param settings: Settings of the connection. At most 30 requests a minute are sent, also where they allow more.
    :param project_id: Project of the agent.
    :param chatbot_id: The agent.
    :param questions: The questions.
    :param questions_uri: The file that they are from, or None.
    :param min_score: The least score with which the task succeeds, for the manifest.
    :param run_key: Identifier of the task and its run.
    :param store: Where to land.
    """

    settings: Settings
    project_id: str
    chatbot_id: str
    questions: Sequence[Question]
    questions_uri: str | None
    min_score: float
    run_key: str
    store: Store
    #: The error of the last question, where asking was given up; else None.
    stopped: RobofyCallError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.per_minute = min(PER_MINUTE, self.settings.requests_per_minute or PER_MINUTE)
        # Clients of one account and one budget share a rate limiter, so all tasks of this process do.
        settings = replace(self.settings, requests_per_minute=self.per_minute)
        self.client = RobofyClient(settings)

    def cancel(self) -> None:
        """End the requests under way, and send no more. Nothing is published. Safe in a signal handler."""
        self.client.cancel()

    def land(self) -> AskedManifest:
        """Ask all questions, publish the answers and return the manifest.

        A question is not asked again if it may have arrived. It is unanswered then, as with any other error that
        concerns it alone. After five unanswered ones in a row, the others are not asked, and :attr:`stopped` says why.

        :return: The manifest.
        :raises RobofyError: Key, ids or path are wrong, the file cannot be written, or the task was killed; nothing is
            published.
        """
        started = datetime.now(UTC).isoformat()
        common: dict[str, Any] = {
            "resource": RESOURCE,
            "mode": "full",
            "project_id": self.project_id,
            "chatbot_id": self.chatbot_id,
            "run_key": self.run_key,
        }
        verdicts: Counter[str] = Counter()
        not_passed: list[str] = []
        count = len(self.questions)
        with Landing(self.store, identity(common)) as landing:
            landing.check()
            _log.info(
                "Asking %s questions takes at least %s: %g a minute, and %s a day.",
                count,
                shortest_time(count, self.per_minute),
                self.per_minute,
                PER_DAY,
            )
            with landing.spool() as data, landing.spool_rejected() as rejected, closing(self._rows()) as rows:
                for question, row in zip(self.questions, rows, strict=True):
                    data.append(codec.dump_line(row))
                    verdicts[row["verdict"]] += 1
                    if row["verdict"] != PASSED:
                        not_passed.append(question.name)
                    why = f" ({'; '.join(row['reasons'])})" if row["reasons"] else ""
                    facts = (row[POSITION] + 1, count, question.name, row["verdict"], why)
                    _log.info("Question %s of %s, %r: %s%s", *facts)
                data.finish()
                rejected.finish()
                manifest = AskedManifest(
                    **common,
                    **landing.facts(data, rejected),
                    received=count,
                    requests=self.client.requests,
                    started_at=started,
                    finished_at=datetime.now(UTC).isoformat(),
                    questions_uri=self.questions_uri,
                    passed=verdicts[PASSED],
                    failed=verdicts[FAILED],
                    unanswered=verdicts[UNANSWERED],
                    score=verdicts[PASSED] / count,
                    min_score=self.min_score,
                    not_passed=not_passed[:MOST_NAMED],
                )
                landing.publish(data, rejected, manifest)
        return manifest

    def _rows(self) -> Generator[dict[str, Any]]:
        """Yield the row of each question, in their order."""
        workers = Workers(AT_A_TIME, "robofy-ask")
        waiting: deque[Future[tuple[dict[str, Any], RobofyCallError | None]]] = deque()
        in_a_row, began, pause = 0, 0.0, 0.0
        try:
            for first in range(0, len(self.questions), PER_DAY):
                if first and self.stopped is None:
                    pause = max(began + DAY - time.monotonic(), 0.0)
                    _log.info("%s questions have been asked. The next one is asked in %.0f s.", first, pause)
                    self.client.hold(pause)
                began = time.monotonic() + pause
                of_the_day = self.questions[first : first + PER_DAY]
                waiting.extend(workers.submit(self._ask, *one) for one in enumerate(of_the_day, first))
                while waiting:
                    while not wait([waiting[0]], timeout=_SLICE).done:
                        self.client.check_cancelled()  # a name look-up that hangs would not end with a killed task
                    row, error = waiting.popleft().result()
                    in_a_row = 0 if error is None else in_a_row + 1
                    if in_a_row >= GIVE_UP and self.stopped is None:
                        self.stopped = error
                    yield row
        finally:
            workers.stop()
            self.cancel()  # else the threads would go on when this one raises
            wait(waiting, timeout=_PATIENCE)
            self.client.close()

    def _ask(self, number: int, question: Question) -> tuple[dict[str, Any], RobofyCallError | None]:
        """Return the row of a question, and the error that it has instead of an answer."""
        row = {
            POSITION: number,
            PROJECT_ID: self.project_id,
            CHATBOT_ID: self.chatbot_id,
            "question": question.ask,
            "answer": None,
            "verdict": UNANSWERED,
            "reasons": [],
            "seconds": None,
            "session_id": None,
        }
        if self.stopped is not None:
            return row | {"reasons": [f"not asked, because {GIVE_UP} questions before it had no answer"]}, None
        body = {
            "query": question.ask,
            "pid": self.project_id,
            "chatbot_id": self.chatbot_id,
            "user_context": {"platform": "web"},  # no session_id: a new session
        }
        call = send_message(body)
        try:
            answered = self.client.exchange(call)
        except RobofyCallError as error:
            if error.permanent and not isinstance(error, RobofyBadRequestError):
                self.stopped = error  # for the other threads; the one that takes the rows raises it
                raise
            return row | {"reasons": [str(error)]}, error
        session_id, answer = answered.value.get("session_id"), answered.value.get("answer")
        row["session_id"] = None if session_id is None else str(session_id)
        row["seconds"] = round((datetime.now(UTC) - answered.requested_at).total_seconds(), 3)
        if not isinstance(answer, str) or not answer.strip():
            lacking = RobofyResponseError(
                "the answer has no text in its field 'answer'",
                endpoint=call.title,
                requested_at=answered.requested_at,
                advice="Has the agent got a language model and an allowance? Ask it the same question in Robofy.",
            )
            return row | {"reasons": [str(lacking)]}, lacking
        reasons = question.judge(answer)
        verdict = FAILED if reasons else PASSED
        return row | {"answer": answer[:LONGEST_ANSWER], "verdict": verdict, "reasons": reasons}, None

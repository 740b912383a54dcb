"""Ask an agent questions, judge its answers, and land both in a file."""

from __future__ import annotations

import json
import logging
import re
import time
import unicodedata
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import wait
from contextlib import closing
from dataclasses import InitVar, dataclass, replace
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import yaml

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import send_message
from airflow_provider_robofy.api.errors import (
    RobofyBadRequestError,
    RobofyCallError,
    RobofyConfigError,
    RobofyResponseError,
)
from airflow_provider_robofy.api.workers import Workers
from airflow_provider_robofy.extract.landing import Landing, Manifest, identity
from airflow_provider_robofy.extract.rows import UNKNOWN
from airflow_provider_robofy.resources import CHATBOT_ID, POSITION, PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from concurrent.futures import Future

    from airflow_provider_robofy.api.settings import Settings
    from airflow_provider_robofy.extract.files import Store

RESOURCE: Final = "answers"
#: Robofy's fair use of chat (docs.robofy.ai): messages of an account in a minute and in a day.
PER_MINUTE: Final = 30
PER_DAY: Final = 5_000
DAY: Final = 24 * 3600.0
#: Questions at a time: an agent may take longer than two seconds to answer.
AT_A_TIME: Final = 4
#: A longer answer fails, and only so many characters of it land.
LONGEST_ANSWER: Final = 100_000
#: Failed questions that a manifest names, and characters of a name.
MOST_NAMED: Final = 50
LONGEST_NAME: Final = 80
#: Questions in a row without an answer after which no more are asked: the others would have none either.
GIVE_UP: Final = 5

#: Seconds between two checks for cancellation, and seconds to wait for cancelled requests.
_SLICE, _PATIENCE = 0.1, 1.0

PASSED: Final = "passed"
FAILED: Final = "failed"
UNANSWERED: Final = "unanswered"

_RULES: Final = ("expect", "any_of", "reject")
_KEYS: Final = ("ask", *_RULES)

_log = logging.getLogger(__name__)


# ---------------------------------------------------------------------------------------------------- questions
@dataclass(frozen=True, slots=True)
class Phrase:
    """A text, or a regular expression, that is looked for in an answer.

    :param source: What the user wrote, such as ``30 days`` or ``/(30|thirty) days/``.
    :param pattern: The regular expression, or None for a text.
    """

    source: str
    pattern: re.Pattern[str] | None

    def __str__(self) -> str:
        return f"'{plain(self.source)}'"

    def is_in(self, answer: str) -> bool:
        """Return whether the phrase is in an answer.

        :param answer: The answer, as :func:`plain` returns it.
        """
        if self.pattern is not None:
            return self.pattern.search(answer) is not None
        return _folded(self.source) in _folded(answer)


def plain(text: str) -> str:
    """Return a text in NFKC, with one space for each run of white space.

    :param text: The text.
    """
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _folded(text: str) -> str:
    # Folding the case can undo NFKC, so that is done once more.
    return plain(plain(text).casefold())


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what its answer must and must not contain.

    :param ask: The question.
    :param expect: Phrases that the answer must contain, all of them. Default none.
    :param any_of: Phrases of which the answer must contain one. Default none: any answer will do.
    :param reject: Phrases that the answer must not contain. Default none.
    """

    ask: str
    expect: tuple[Phrase, ...] = ()
    any_of: tuple[Phrase, ...] = ()
    reject: tuple[Phrase, ...] = ()

    @property
    def name(self) -> str:
        """Return the question on one line, cut to 80 characters."""
        line = plain(self.ask)
        return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 3]}..."

    def judge(self, answer: str) -> list[str]:
        """Return what is wrong with an answer, without a word of it.

        :param answer: The answer.
        :return: The reasons; empty for an answer that passes.
        """
        if len(answer) > LONGEST_ANSWER:
            return [f"the answer has {len(answer)} characters, more than {LONGEST_ANSWER}"]
        text = plain(answer)
        reasons = [f"expect: {one} is not in the answer" for one in self.expect if not one.is_in(text)]
        if self.any_of and not any(one.is_in(text) for one in self.any_of):
            reasons.append(f"any_of: none of {', '.join(map(str, self.any_of))} is in the answer")
        return reasons + [f"reject: {one} is in the answer" for one in self.reject if one.is_in(text)]


def read_questions(given: object, where: str = "questions", lines: Sequence[int] = ()) -> list[Question]:
    """Return questions from plain data.

    For example::

        [{"ask": "When do you open?", "expect": ["9:00", "/mon(day)?/"], "reject": "I do not know"}]

    :param given: A list of objects with ``ask`` and perhaps ``expect``, ``any_of`` and ``reject``, each a text or a
        list of texts. A text between slashes is a regular expression.
    :param where: Name of the argument or file, for errors. Default ``questions``.
    :param lines: The line of each question in the file. Default: errors name its index, from 0.
    :return: The questions.
    :raises RobofyConfigError: There is none, or one cannot be used.
    """
    if not given:
        raise RobofyConfigError(f"{where}: there is no question.")
    if not isinstance(given, list | tuple):
        raise RobofyConfigError(f"{where} must be a list of questions, not {type(given).__name__}.")
    return [
        _question(one, f"{where}, line {lines[index]}" if lines else f"{where}[{index}]")
        for index, one in enumerate(given)
    ]


def _question(given: object, where: str) -> Question:
    if not isinstance(given, Mapping):
        raise RobofyConfigError(f"{where} must be an object with ask, and not {type(given).__name__}.")
    if unknown := [str(name) for name in given if name not in _KEYS]:
        raise RobofyConfigError(f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(_KEYS)}.")
    ask = given.get("ask")
    if not isinstance(ask, str) or not ask.strip():
        raise RobofyConfigError(f"{where} has no ask: the text of the question.")
    return Question(ask, **{name: _phrases(given[name], f"{where}: {name}") for name in _RULES if name in given})


def _phrases(given: object, where: str) -> tuple[Phrase, ...]:
    texts = given if isinstance(given, list | tuple) else [given]
    if not texts:
        raise RobofyConfigError(f"{where} is an empty list; leave it out.")
    return tuple(_phrase(text, where) for text in texts)


def _phrase(text: object, where: str) -> Phrase:
    if not isinstance(text, str):
        raise RobofyConfigError(
            f"{where} must be text or a list of texts, not {type(text).__name__}: put it in quotes."
        )
    if not plain(text).strip("/ "):
        raise RobofyConfigError(f"{where} has an empty text, which is in every answer.")
    if len(text) <= 2 or not text.startswith("/") or not text.endswith("/"):
        return Phrase(text, None)
    try:
        return Phrase(text, re.compile(unicodedata.normalize("NFC", text[1:-1]), re.IGNORECASE))
    except re.error as error:
        raise RobofyConfigError(f"{where}: {text} is not a regular expression ({error}).") from None


def parse_questions(content: bytes, uri: str) -> list[Question]:
    """Return the questions of a file.

    In YAML each value is text as it is written, so ``9:30`` and ``yes`` need no quotes::

        - ask: When do you open?
          expect: 9:30
        - ask: Can I return goods?
          any_of: [30 days, /(one|a) month/]

    :param content: The file's content, in UTF-8.
    :param uri: Its path or URL, which ends in ``.yaml``, ``.yml`` or ``.json``.
    :return: The questions.
    :raises RobofyConfigError: The file has no question, or one cannot be used; the message names line or index.
    """
    if not uri.endswith((".yaml", ".yml", ".json")):
        raise RobofyConfigError(f"questions must be a list, or a file that ends in .yaml, .yml or .json, not {uri!r}.")
    lines: list[int] = []
    try:
        text = content.decode("utf-8-sig")
        if uri.endswith(".json"):
            given = json.loads(text) if text.strip() else None
        else:
            loader = yaml.BaseLoader(text)
            node = loader.get_single_node()
            given = None if node is None else loader.construct_document(node)
            if isinstance(node, yaml.SequenceNode):
                lines = [one.start_mark.line + 1 for one in node.value]
                _refuse_repeated_keys(node, uri)
    except UnicodeDecodeError:
        raise RobofyConfigError(f"{uri} is not UTF-8 text.") from None
    except json.JSONDecodeError as error:
        raise RobofyConfigError(f"{uri}, line {error.lineno}: not JSON ({error.msg}).") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RobofyConfigError(f"{uri}, line {line}: not YAML ({error.problem}).") from None
    except (yaml.YAMLError, RecursionError):
        raise RobofyConfigError(f"{uri} has characters that YAML does not allow, or is nested too deeply.") from None
    return read_questions(given, uri, lines)


def _refuse_repeated_keys(questions: yaml.SequenceNode, uri: str) -> None:
    """Raise for a key that a question has twice: YAML would drop the first one, and so a rule for the answer."""
    for one in questions.value:
        keys = [str(key.value) for key, _ in one.value] if isinstance(one, yaml.MappingNode) else []
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise RobofyConfigError(f"{uri}, line {one.start_mark.line + 1}: {', '.join(repeated)} is there twice.")


def shortest_time(count: int, per_minute: float = PER_MINUTE) -> timedelta:
    """Return how long so many questions take at least, within Robofy's limits a minute and a day.

    :param count: Number of questions.
    :param per_minute: Questions a minute. Default 30.
    """
    days, rest = divmod(count - 1, PER_DAY)
    return timedelta(seconds=days * DAY + round(rest * 60 / per_minute))


# ------------------------------------------------------------------------------------------------------- asking
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

    settings: InitVar[Settings]
    project_id: str
    chatbot_id: str
    questions: Sequence[Question]
    questions_uri: str | None
    min_score: float
    run_key: str
    store: Store

    def __post_init__(self, settings: Settings) -> None:
        self.per_minute = min(PER_MINUTE, settings.requests_per_minute or PER_MINUTE)
        # Clients of one account and one budget share a rate limiter, so all tasks of this process do.
        settings = replace(settings, requests_per_minute=self.per_minute)
        self.clients = [RobofyClient(settings) for _ in range(AT_A_TIME)]
        self._idle: SimpleQueue[RobofyClient] = SimpleQueue()
        #: The error of the last question, where asking was given up; else None.
        self.stopped: RobofyCallError | None = None

    def cancel(self) -> None:
        """End the requests under way, and send no more. Nothing is published. Safe in a signal handler."""
        for client in self.clients:
            client.cancel()

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
            "since": None,
            "until": None,
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
                    duplicates=0,
                    outside_window=0,
                    undated=0,
                    future=0,
                    pages=0,
                    requests=sum(client.requests for client in self.clients),
                    end_marker=None,
                    first_at=None,
                    last_at=None,
                    row_order=UNKNOWN,
                    cursor_generation=None,
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
        for client in self.clients:
            self._idle.put(client)
        waiting: deque[Future[tuple[dict[str, Any], RobofyCallError | None]]] = deque()
        in_a_row, began, pause = 0, 0.0, 0.0
        try:
            for first in range(0, len(self.questions), PER_DAY):
                if first and self.stopped is None:
                    pause = max(began + DAY - time.monotonic(), 0.0)
                    _log.info("%s questions have been asked. The next one is asked in %.0f s.", first, pause)
                    self.clients[0].hold(pause)
                began = time.monotonic() + pause
                of_the_day = self.questions[first : first + PER_DAY]
                waiting.extend(workers.submit(self._ask, *one) for one in enumerate(of_the_day, first))
                while waiting:
                    while not wait([waiting[0]], timeout=_SLICE).done:
                        self.clients[0].check_cancelled()  # a name look-up that hangs would not end with a killed task
                    row, error = waiting.popleft().result()
                    in_a_row = 0 if error is None else in_a_row + 1
                    if in_a_row >= GIVE_UP and self.stopped is None:
                        self.stopped = error
                    yield row
        finally:
            workers.stop()
            self.cancel()  # else the threads would go on when this one raises
            wait(waiting, timeout=_PATIENCE)
            for client in self.clients:
                client.close()

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
        client = self._idle.get()
        try:
            answered = client.exchange(call)
        except RobofyCallError as error:
            if error.permanent and not isinstance(error, RobofyBadRequestError):
                self.stopped = error  # for the other threads; the one that takes the rows raises it
                raise
            return row | {"reasons": [str(error)]}, error
        finally:
            self._idle.put(client)
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

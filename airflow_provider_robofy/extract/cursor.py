"""Cursors: how far a sync of one listing has come, and where a run starts from it.

The API has no filter by time, so "new" is decided here. A cursor holds a *watermark*, before which everything has
landed, and the *overlap*: the rows that landed at or after it, so that runs can overlap by the lag without landing a
row twice.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError, RobofyLandingError
from airflow_provider_robofy.extract.cursor_store import RESET, CursorStore
from airflow_provider_robofy.extract.overlap import Overlap, Owed, RowVersion
from airflow_provider_robofy.extract.window import Window, earlier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_robofy.extract.files import Store

SCHEMA_VERSION: Final = 2  # 1 called the watermark "mark"
#: For so many runs in sequence a row is landed again whose messages cannot be read.
MAX_OWED_RUNS: Final = 7

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a sync of one listing has come.

    :param timezone: Zone in which the API's times were read. In another zone the watermark would mean another moment.
    :param watermark: Rows before this have landed; None before the first landing.
    :param overlap: The rows that have landed at or after the watermark. A row whose time cannot be read may belong
        anywhere, so it stays for good.
    :param full_at: When everything was last read.
    :param generation: Changes with every move; empty before the first.
    :param owed: Rows that land again in the next run, because what follows the landing has failed for them.
    :param privacy: The privacy rules under which the overlap was hashed, as
        :func:`~airflow_provider_robofy.extract.privacy.applied_rules` returns them; None where that is not known,
        because an earlier version wrote the cursor.
    :param idle_for: Seconds without a new message after which a session was fetched; 0 where all were.
    :param run_key: The run that moved it last, and ``before`` where it stood then; None before the first move.
    """

    timezone: str = "UTC"
    watermark: datetime | None = None
    overlap: tuple[RowVersion, ...] = field(default=(), repr=False)
    full_at: datetime | None = None
    generation: str = ""
    owed: tuple[Owed, ...] = ()
    privacy: Mapping[str, Any] | None = field(default=None, hash=False)  # a dict has no hash
    idle_for: float = 0.0
    run_key: str | None = None
    before: Cursor | None = field(default=None, repr=False)

    def start_for(self, run_key: str) -> Cursor:
        """Return where a run starts: a retry, or a cleared task, starts again where it started the first time.

        :param run_key: The run.
        """
        return self.before if self.before is not None and self.run_key == run_key else self

    def encode(self, identity: dict[str, Any]) -> dict[str, Any]:
        """Return plain JSON, for example::

            {"schema_version": 2, "name": "dag.leads", "resource": "leads", "project_id": "24017", "chatbot_id": "a",
             "timezone": "UTC", "watermark": "2025-01-15T11:48:00+00:00", "full_at": null,
             "generation": "27ad267fa83580d9",
             "kept": [["lead-1", "3dd9c15430344c7d135b9f33", "2025-01-15T11:58:00+00:00"]],
             "owed": [["ac5fb3e16a3d1a9ed9c2b7f0", "2025-01-14T09:12:00+00:00", 1]],
             "privacy": {"rules": {"ip_address": "drop", ...}, "own": [], "key": null},
             "last": {"run_key": "dag/run/leads", "before": {...}}}

        :param identity: Whose cursor it is; checked when it is read.
        """  # noqa: D400 (ends in a sample)
        body: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **identity, **_encode(self)}
        body["last"] = None if self.before is None else {"run_key": self.run_key, "before": _encode(self.before)}
        return body

    @classmethod
    def decode(cls, body: Any, identity: dict[str, Any], where: str) -> Cursor:
        """Read what :meth:`encode` returned.

        :param body: The JSON, or None where there is none yet.
        :param identity: Whose cursor it should be.
        :param where: What an error calls the place.
        :raises RobofyConfigError: It is damaged, of a newer version, or the cursor of another sync.
        """
        if body is None:
            return cls()
        if not isinstance(body, dict) or not isinstance(body.get("schema_version"), int):
            raise RobofyConfigError(f"{where} is not a cursor. {RESET}")
        if body["schema_version"] > SCHEMA_VERSION:
            raise RobofyConfigError(
                f"{where} was written by a newer version of this provider (schema {body['schema_version']}, known is "
                f"{SCHEMA_VERSION}). Update airflow-provider-robofy."
            )
        strangers = [
            f"{name} is {body.get(name)!r}, not {mine!r}" for name, mine in identity.items() if body.get(name) != mine
        ]
        if strangers:
            raise RobofyConfigError(
                f"{where} is the cursor of another sync: {'; '.join(strangers)}. Give each its own."
            )
        try:
            last = body.get("last")
            before = None if last is None else _decode(last["before"])
            run_key = None if last is None else str(last["run_key"])
            return replace(_decode(body), run_key=run_key, before=before)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RobofyConfigError(f"{where} is damaged. {RESET}") from None


def _encode(cursor: Cursor) -> dict[str, Any]:
    body: dict[str, Any] = {
        "timezone": cursor.timezone,
        "watermark": cursor.watermark and cursor.watermark.isoformat(),
        "full_at": cursor.full_at and cursor.full_at.isoformat(),
        "generation": cursor.generation,
        "kept": [[one.row_id, one.fingerprint, one.at and one.at.isoformat()] for one in cursor.overlap],
    }
    if cursor.owed:
        body["owed"] = [[one.fingerprint, one.at and one.at.isoformat(), one.runs] for one in cursor.owed]
    if cursor.idle_for:
        body["idle_for"] = cursor.idle_for
    return body if cursor.privacy is None else {**body, "privacy": cursor.privacy}


def _decode(body: dict[str, Any]) -> Cursor:
    return Cursor(
        timezone=str(body["timezone"]),
        watermark=_time(body["watermark"] if "watermark" in body else body["mark"]),
        full_at=_time(body["full_at"]),
        generation=str(body["generation"]),
        privacy=_privacy(body.get("privacy")),
        idle_for=float(body.get("idle_for", 0)),
        overlap=tuple(RowVersion(str(row_id), str(print_), _time(at)) for row_id, print_, at in body["kept"]),
        owed=tuple(Owed(str(print_), _time(at), int(runs)) for print_, at, runs in body.get("owed", ())),
    )


def _privacy(applied: Any) -> dict[str, Any] | None:
    if applied is None:
        return None
    rules, own = dict(applied["rules"].items()), [str(name) for name in applied["own"]]
    return {"rules": rules, "own": own, "key": applied["key"]}


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time


@dataclass(kw_only=True, repr=False, eq=False)
class CursorRun:
    """One run of a sync that has a cursor: where it starts, what it leaves out, and where the cursor goes.

    Usage::

        run = CursorRun(FileCursorStore(store), {"name": ..., "resource": ..., ...}, run_key=..., ...)
        ...  # read the rows of run.window but those of run.landed_before, and run.before.owed; publish, verify
        run.move(started)

    :param store: Where the cursor is stored. It is read at once.
    :param identity: Whose cursor it is.
    :param run_key: The run.
    :param timezone: Zone in which this run reads times.
    :param lag: How late a row may turn up.
    :param full_every: Read everything again when the last time is longer ago than this; None never.
    :param now: Our clock.
    :param keep_ids: May the cursor contain ids of rows? Default True.
    :param start_again: Where a person asked this run to start, instead of the stored cursor. Default None.
    :param privacy: The privacy rules under which this run's rows land; None where they are not known. Default None.
    :param idle_for: Only rows land whose time is at least this long ago when the listing begins. A younger one is not
        lost: the watermark follows landed rows and stays before it, so a later run lands it. Default 0: all land.
    :raises RobofyConfigError: The stored cursor is damaged, of a newer version, or the cursor of another sync.
    """

    store: CursorStore
    identity: dict[str, Any]
    run_key: str
    timezone: str
    lag: timedelta
    full_every: timedelta | None
    now: datetime
    keep_ids: bool = True
    start_again: Cursor | None = None
    privacy: Mapping[str, Any] | None = None
    idle_for: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        self._stored = self.start_again or Cursor.decode(self.store.load(), self.identity, self.store.where)
        #: The cursor that this run starts from.
        self.before = self._stored.start_for(self.run_key)
        #: Was the cursor written under other privacy rules, or with another idle_for? Then it moves even where nothing
        #: is new: a watcher compares the listing with it under the rules that it names.
        rules = (self.privacy, self.idle_for.total_seconds())
        self.rules_changed = (self.before.privacy, self.before.idle_for) != rules
        #: Takes the rows that land.
        self.overlap = Overlap(self.lag, keep_ids=self.keep_ids)
        reason = self._reason_for_full()
        #: Is everything read and landed again?
        self.full = reason is not None
        self.mode = "full" if self.full else "cursor"
        #: Which rows are wanted.
        self.window = Window() if self.full else Window(since=self.before.watermark)
        if self.before.owed:
            _log.info("%s rows of earlier runs are read again.", len(self.before.owed))
        #: Fingerprints of rows that need not land again. A full read leaves nothing out.
        self.landed_before = frozenset(() if self.full else (one.fingerprint for one in self.before.overlap))
        if reason:
            _log.info("Everything is read and landed: %s.", reason)

    def _reason_for_full(self) -> str | None:
        before = self.before
        if before.watermark is None:
            return "the cursor has no watermark yet"
        if before.timezone != self.timezone:
            _log.warning(
                "The connection's timezone was %s when the cursor was written and is %s now, so the cursor's watermark "
                "may mean another moment. Everything is read again.",
                before.timezone,
                self.timezone,
            )
            return "the zone has changed"
        if self.full_every is not None and (before.full_at is None or self.now - before.full_at >= self.full_every):
            return "full_every has passed"
        return None

    def is_past(self, found: Mapping[str, Any] | None) -> bool:
        """Return whether this run has landed before, and later runs have moved the cursor since.

        It would start from the cursor as it is now, and replace its own file by an emptier one.

        :param found: Manifest that this run left at its destination, or None.
        """
        if found is None or self.start_again or self._stored.watermark is None or self.before is not self._stored:
            return False
        return found.get("cursor_generation") != self._stored.generation

    def until(self, started: datetime) -> datetime | None:
        """Return the time from which on rows are not idle yet, None where all land.

        :param started: When the listing began.
        """
        return earlier(started, self.idle_for) if self.idle_for else None

    def after(self, started: datetime) -> Cursor:
        """Return the cursor once what was found has landed.

        The watermark follows the newest row that landed, but never beyond the clock, and stays behind by the lag: a row
        may turn up late by that much and is still found. It never goes back.

        :param started: When the listing began, by the earlier of our clock and the API's.
        """
        before, watermark = self.before, self.before.watermark
        if self.overlap.newest is not None:
            reached = earlier(min(self.overlap.newest, started), self.lag)
            watermark = reached if watermark is None else max(watermark, reached)
        rows = {(one.row_id, one.fingerprint): one for one in (*before.overlap, *self.overlap.rows)}
        generation = f"{before.generation}|{self.run_key}|{started}".encode()
        return Cursor(
            timezone=self.timezone,
            watermark=watermark,
            overlap=tuple(
                one for one in rows.values() if one.at is None or (watermark is not None and one.at >= watermark)
            ),
            full_at=started if self.full else before.full_at,
            generation=hashlib.blake2b(generation, digest_size=8).hexdigest(),
            privacy=self.privacy,
            idle_for=self.idle_for.total_seconds(),
            run_key=self.run_key,
            before=replace(before, before=None, run_key=None),
        )

    def next_state(self, started: datetime, try_id: str) -> dict[str, Any]:
        """Return what :class:`NextCursor` reads: where the cursor goes once the work on what landed is done.

        :param started: When the listing began.
        :param try_id: Which try landed.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "try_id": try_id,
            "cursor": self.store.address,
            "reset": self.start_again is not None,
            "state": self.after(started).encode(self.identity),
        }

    def move(self, started: datetime) -> bool:
        """Store the cursor as :meth:`after` returns it.

        :param started: When the listing began.
        :return: Whether it moved, see :func:`move_cursor`.
        """
        return move_cursor(self.store, self.identity, self.after(started), reset=self.start_again is not None)


def move_cursor(store: CursorStore, identity: dict[str, Any], after: Cursor, *, reset: bool) -> bool:
    """Store a cursor after a run, unless another run has moved it since that run began.

    :param store: Where the cursor is stored.
    :param identity: Whose cursor it is.
    :param after: Where it goes, with the run and where that began.
    :param reset: Move it wherever it stands, because a person asked that run to start somewhere.
    :return: Whether it stands there now. If not, nothing is lost: what the run landed will merely land again.
    :raises RobofyConfigError: The stored cursor is damaged, of a newer version, or the cursor of another sync.
    :raises RobofyLandingError: It cannot be stored.
    """
    begin, run_key = after.before or Cursor(), str(after.run_key)
    if not reset:  # which helps against a cursor that cannot be read, too
        now = Cursor.decode(store.load(), identity, store.where)
        if now == after:
            return True
        if now.start_for(run_key).generation != begin.generation:
            _warn_of_other(now, run_key)
            return False
    try:
        store.save(after.encode(identity))
    except RobofyLandingError as error:
        # Two that save in the same instant: the file is whole, but may be the other's.
        try:
            now = Cursor.decode(store.load(), identity, store.where)
        except RobofyError:
            raise error from None
        if now.run_key is None or now.start_for(run_key).generation == begin.generation:
            raise
        _log.info("The cursor was not saved: %s", error)
        _warn_of_other(now, run_key)
        return False
    return True


def _warn_of_other(now: Cursor, run_key: str) -> None:
    _log.warning(
        "%s has moved the cursor since this run (%s) began. It is left where it stands, so some rows will land twice. "
        "Set max_active_runs=1 on the DAG, and use one task to a cursor.",
        f"Another run ({now.run_key})" if now.run_key else "A reset by hand",
        run_key,
    )


@dataclass(frozen=True, slots=True)
class NextCursor:
    """Where a cursor goes once the work on a landed file is done.

    :param address: Address of the cursor's store.
    :param reset: Did a person ask the run to start somewhere?
    :param identity: Whose cursor it is.
    :param after: The cursor after the run.
    """

    address: str
    reset: bool
    identity: dict[str, Any]
    after: Cursor

    @classmethod
    def read(cls, store: Store, manifest: Mapping[str, Any]) -> NextCursor:
        """Read the file beside a landed one, and check that it belongs to the manifest.

        :param store: The file.
        :param manifest: The manifest that names it.
        :raises RobofyConfigError: The file is gone or damaged, or belongs to another try or run.
        :raises RobofyLandingError: The file cannot be read.
        """
        remedy = "Clear the fetch task: it lands again, or returns its manifest where later runs have moved the cursor."
        try:
            body = codec.loads(store.read())
            if body["schema_version"] > SCHEMA_VERSION:
                raise RobofyConfigError(
                    f"{store.uri} was written by a newer version of this provider. Update airflow-provider-robofy."
                )
            state, try_id = body["state"], body["try_id"]
            identity = {name: state[name] for name in ("name", "resource", "project_id", "chatbot_id")}
            address, reset = str(body["cursor"]), bool(body["reset"])
        except FileNotFoundError:
            raise RobofyConfigError(f"{store.uri} is gone, so the cursor cannot be moved. {remedy}") from None
        except OSError as error:
            raise RobofyLandingError(f"{store.uri} could not be read ({type(error).__name__}: {error}).") from error
        except (ValueError, KeyError, TypeError):
            raise RobofyConfigError(f"{store.uri} is damaged, so the cursor cannot be moved. {remedy}") from None
        after = Cursor.decode(state, identity, store.uri)
        if try_id != manifest.get("try_id") or after.run_key != manifest.get("run_key") or after.before is None:
            raise RobofyConfigError(
                f"{store.uri} belongs to try {try_id} of {after.run_key}, and the manifest to try "
                f"{manifest.get('try_id')} of {manifest.get('run_key')}. {remedy}"
            )
        return cls(address, reset, identity, after)


def still_owed(before: Cursor, failed: Iterable[tuple[str, datetime | None]]) -> tuple[Owed, ...]:
    """Return the rows that the next run has to land again, and log those that are given up.

    :param before: The cursor that the run started from.
    :param failed: Hash and time of the landed rows for which what follows has failed.
    """
    runs = {one.fingerprint: one.runs for one in before.owed}
    owed = [Owed(print_, at, runs.get(print_, 0) + 1) for print_, at in failed]
    if given_up := sum(one.runs >= MAX_OWED_RUNS for one in owed):
        _log.warning(
            "%s sessions could not be read in %s runs in sequence. They are not asked for any more, until somebody "
            "writes in them or everything is read again.",
            given_up,
            MAX_OWED_RUNS,
        )
    return tuple(one for one in owed if one.runs < MAX_OWED_RUNS)

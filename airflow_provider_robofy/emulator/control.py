"""Everything that may be done to a running emulator, each operation once.

`Control` has the operations. `Emulator` offers them to Python code, and the control API offers the same ones over HTTP,
under `/_robofy_emulator/` and without a key, because it is for the test that owns the emulator:

| call | does |
|---|---|
| GET state | counts, settings, faults, requests per endpoint, requests in flight now and at most |
| GET requests `?endpoint= &limit=` | recent requests, oldest first; says whether the key was right, not what it was |
| DELETE requests | forgets them and starts counting anew |
| GET leads `?chatbot_id=` | all rows of an agent (of the first by default) as the API would list them |
| POST leads `{count, chatbot_id, created_at, session_id, fields}` | adds leads, created now by default |
| PATCH leads/ID `{chatbot_id, created_at, fields}` | changes one |
| DELETE leads/ID `?chatbot_id=` | deletes one |
| POST sessions `{session_id, chatbot_id, at, messages, fields}` | adds a session with that many messages |
| DELETE sessions/ID `?chatbot_id=` | deletes one |
| POST messages `{session_id, text, chatbot_id, incoming, at, fields}` | adds a message to a session |
| GET assets, GET crawls | everything that was taken in or started |
| GET faults | faults that are set, and how often each was applied |
| POST faults `{kind, option: value, ...}` | sets one; the options are those of the command line |
| DELETE faults `?kind=` | takes them away |
| PATCH settings `{name: value, ...}` | changes settings; those that seeded data was made from need a reset |
| POST reset `{name: value, ...}` | starts over as at the start, but for the settings given |

Bodies and answers are JSON. Times are ISO 8601 or seconds since 1970. What cannot be done gets a 400 with
`{"error": "what is wrong"}`, and a path that is not in this table a 404.

Usage::

    curl -X POST localhost:8765/_robofy_emulator/leads -d '{"count": 3}'
    curl -X POST localhost:8765/_robofy_emulator/faults -d '{"kind": "drop", "endpoint": "list_leads"}'
"""

from __future__ import annotations

import inspect
from datetime import datetime
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import orjson
from pydantic import Field, ValidationError, validate_call

from airflow_provider_robofy.emulator import faults
from airflow_provider_robofy.emulator.sessions import Message, Session
from airflow_provider_robofy.emulator.settings import Flag, Text, Whole, explain
from airflow_provider_robofy.emulator.wire import Request  # noqa: TC001 - pydantic reads it at run time

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.emulator.account import Agent
    from airflow_provider_robofy.emulator.server import RobofyServer

_T = TypeVar("_T")
_F = TypeVar("_F", bound="Callable[..., Any]")

# A day inside what datetime can hold, so that every time zone can write it.
_EARLIEST, _LATEST = -62_135_510_400, 253_402_214_400


class ControlError(ValueError):
    """Something that cannot be done; the text says why."""


#: The operations: HTTP method and path -> method of `Control`, and the name of its result in the JSON answer, "" where
#: the result is the answer. A path that ends with a slash is followed by the first argument.
OPERATIONS: dict[tuple[str, str], tuple[Callable[..., Any], str]] = {}


def _operation(call: str, answer: str = "") -> Callable[[_F], _F]:
    """Offer a method as one call of the control API, and run it where the emulator may be changed.

    :param call: HTTP method and path.
    :param answer: Name of the result in the JSON answer.
    """

    def register(function: _F) -> _F:
        method, path = call.split()
        known = list(inspect.signature(function).parameters)[1:]
        checked = validate_call(function)

        @wraps(function)
        def run(self: Control, /, *args: Any, **kwargs: Any) -> Any:
            try:
                return self._run(partial(checked, self, *args, **kwargs))
            except ValidationError as wrong:
                raise ControlError(explain(wrong, "argument", known)) from None

        OPERATIONS[method, path] = run, answer
        return cast("_F", run)

    return register


class Control:
    """Watch and change an emulator.

    :param server: The server, on whose event loop this must be called.
    """

    def __init__(self, server: RobofyServer) -> None:
        self._server = server

    def _run(self, work: Callable[[], _T]) -> _T:
        return work()

    # ------------------------------------------------------------------------------------------------- watching
    @_operation("GET state")
    def state(self) -> dict[str, Any]:
        """Return counts, settings, faults, requests per endpoint, and requests in flight now and at most."""
        server, world = self._server, self._server.world
        return {
            "url": server.url,
            "project_id": str(world.settings.project),
            "agents": [
                {"chatbot_id": agent.chatbot_id, "leads": len(agent.leads), "sessions": len(agent.sessions)}
                for agent in world.agents.values()
            ],
            "assets": len(world.assets),
            "crawls": len(world.crawls),
            "requests": dict(server.served),
            "in_flight": server.in_flight,
            "peak_in_flight": server.peak_in_flight,
            "faults": self.faults(),
            "settings": world.settings.as_json(),
        }

    @_operation("GET requests", "requests")
    def recent_requests(
        self, endpoint: str | None = None, limit: Annotated[Whole, Field(ge=0)] = 10_000
    ) -> list[Request]:
        """Return recent requests, oldest first, at most ten thousand.

        :param endpoint: Only of this endpoint, such as `list_leads`. Default all.
        :param limit: The last so many.
        """
        found = [each for each in self._server.recent if endpoint in {None, each.endpoint}]
        return found[max(len(found) - limit, 0) :]

    @_operation("DELETE requests", "requests")
    def clear_requests(self) -> list[Request]:
        """Forget all requests and start counting anew. Return the requests that are left: none."""
        self._server.clear_requests()
        return []

    @_operation("GET assets", "assets")
    def assets(self) -> list[dict[str, Any]]:
        """Return every file and text taken in, with name, size and hash; delinked ones too."""
        return [dict(asset.shown) for asset in self._server.world.assets]

    @_operation("GET linked", "linked")
    def linked(self) -> list[dict[str, Any]]:
        """Return the assets that are linked to an agent now."""
        return [asset for asset in self.assets() if asset["linkage_id"] is not None]

    @_operation("GET delinks", "delinks")
    def delinks(self) -> list[dict[str, Any]]:
        """Return every delink that was understood: its `body`, and the `names` of the assets that it delinked."""
        return [dict(delink) for delink in self._server.world.delinks]

    @_operation("GET crawls", "crawls")
    def crawls(self) -> list[dict[str, Any]]:
        """Return every crawl started, with the request that asked for it."""
        return [dict(crawl.shown) for crawl in self._server.world.crawls]

    # ---------------------------------------------------------------------------------------------------- leads
    @_operation("GET leads", "leads")
    def leads(self, chatbot_id: str | None = None) -> list[dict[str, Any]]:
        """Return all rows of an agent as the API would list them now.

        :param chatbot_id: The agent, None for the first.
        """
        world, book = self._server.world, self._agent(chatbot_id).leads
        return book.rows(book.numbers(world.settings.order, 0, len(book)), world.write)

    @_operation("POST leads", "leads")
    def add_leads(
        self,
        count: Annotated[Whole, Field(ge=1, le=100_000)] = 1,
        *,
        chatbot_id: str | None = None,
        created_at: Any = None,
        session_id: str | None = None,
        **fields: Any,
    ) -> list[dict[str, Any]]:
        """Add leads and return their rows.

        :param count: How many.
        :param chatbot_id: Of which agent, None for the first.
        :param created_at: Their time (datetime, ISO 8601, seconds since 1970), None for now.
        :param session_id: The session that they came from, if any.
        :param fields: What their rows say instead of seeded values.
        """
        values, book = _checked(fields), self._agent(chatbot_id).leads
        if count > 1 and "id" in values:
            raise ControlError("an id can be given to one lead only")
        if "id" in values and book.find(values["id"]) is not None:
            raise ControlError(f"there is a lead {values['id']!r} already")
        moment = self._moment(created_at)
        return book.rows([book.add(moment, session_id, values) for _ in range(count)], self._server.world.write)

    @_operation("PATCH leads/", "lead")
    def change_lead(
        self, lead_id: str, *, chatbot_id: str | None = None, created_at: Any = None, **fields: Any
    ) -> dict[str, Any]:
        """Change a lead and return its row.

        :param lead_id: Its id.
        :param chatbot_id: Its agent, None to search all.
        :param created_at: Its new time, None to leave it.
        :param fields: What its row says from now on.
        """
        values, (agent, number) = _checked(fields), self._lead(lead_id, chatbot_id)
        agent.leads.change(number, None if created_at is None else self._moment(created_at), values)
        return agent.leads.rows([number], self._server.world.write)[0]

    @_operation("DELETE leads/", "deleted")
    def delete_lead(self, lead_id: str, *, chatbot_id: str | None = None) -> str:
        """Delete a lead and return its id.

        :param lead_id: Its id.
        :param chatbot_id: Its agent, None to search all.
        """
        agent, number = self._lead(lead_id, chatbot_id)
        agent.leads.delete(number)
        return lead_id

    # ------------------------------------------------------------------------------------------------- sessions
    @_operation("POST sessions", "session")
    def add_session(
        self,
        session_id: Text,
        *,
        chatbot_id: str | None = None,
        at: Any = None,
        messages: Annotated[Whole, Field(ge=0, le=1_000_000)] = 0,
        **fields: Any,
    ) -> dict[str, Any]:
        """Add a session and return its row.

        :param session_id: Its id, any text.
        :param chatbot_id: Of which agent, None for the first.
        :param at: When it was last touched, None for now.
        :param messages: How many messages it holds.
        :param fields: What its row says beside or instead of the usual.
        """
        values, book = _checked(fields), self._agent(chatbot_id).sessions
        if book.get(session_id) is not None:
            raise ControlError("there is a session of that id already")
        return book.add(session_id, self._moment(at), messages, values).row(self._server.world.write)

    @_operation("DELETE sessions/", "deleted")
    def delete_session(self, session_id: str, *, chatbot_id: str | None = None) -> str:
        """Delete a session with its messages, and return its id; its leads stay.

        :param session_id: Which session.
        :param chatbot_id: Of which agent, None for the first.
        """
        agent, session = self._session(session_id, chatbot_id)
        agent.sessions.delete(session.session_id)
        return session_id

    @_operation("POST messages", "message")
    def add_message(
        self,
        session_id: str,
        text: str,
        *,
        chatbot_id: str | None = None,
        incoming: Flag = True,
        at: Any = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Add a message at the end of a session and return its row.

        :param session_id: Which session.
        :param text: What was said.
        :param chatbot_id: Of which agent, None for the first.
        :param incoming: True for the visitor's words, False for the agent's.
        :param at: When, None for now.
        :param fields: What its object says beside or instead of that.
        """
        values, (agent, session) = _checked(fields), self._session(session_id, chatbot_id)
        agent.sessions.write(session, Message(self._moment(at), incoming, text, values))
        return session.message_row(len(session) - 1, self._server.world)

    # --------------------------------------------------------------------------------------- faults and settings
    @_operation("GET faults", "faults")
    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that are set, spent ones too."""
        return [fault.as_json() for fault in self._server.faults]

    @_operation("POST faults", "fault")
    def fault(self, /, kind: str, **options: Any) -> dict[str, Any]:
        """Set a fault from now on, and return it.

        :param kind: status, rate_limit, html, not_json, wrong_shape, redirect, delay, drop, truncate, trickle, endless,
            duplicate_rows, changed_rows, disorder, malformed_rows, token_loop, token_unknown or missing_list.
        :param options: `endpoint`, `chatbot`, `session`, `page`, `times`, `after`, and those of the kind.
        """
        made = faults.build(kind, options)
        self._server.faults.append(made)
        return made.as_json()

    @_operation("DELETE faults", "faults")
    def clear_faults(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Take faults away, and return those that are left.

        :param kind: Only faults of this kind. Default all.
        """
        if kind is not None and kind not in faults.KINDS:
            raise ControlError(f"unknown fault {kind!r}; known: {', '.join(faults.KINDS)}")
        self._server.faults = [fault for fault in self._server.faults if kind not in {None, fault.kind}]
        return self.faults()

    @_operation("PATCH settings", "settings")
    def configure(self, /, **settings: Any) -> dict[str, Any]:
        """Change settings while running, and return all of them; those that seeded data was made from need a `reset`.

        :param settings: New values by name; see `Settings`.
        """
        self._server.world.configure(settings)
        return self._server.world.settings.as_json()

    @_operation("POST reset")
    def reset(self, /, **settings: Any) -> dict[str, Any]:
        """Start over with the data, settings and faults of the start, count requests anew, and return the state.

        :param settings: Settings that differ from those of the start.
        """
        self._server.reset(settings)
        return self.state()

    # -------------------------------------------------------------------------------------------------- finding
    def _agent(self, chatbot_id: str | None) -> Agent:
        agents = self._server.world.agents
        found = next(iter(agents.values()), None) if chatbot_id is None else agents.get(chatbot_id)
        if found is None:
            raise ControlError("there is no agent" + ("" if chatbot_id is None else f" {chatbot_id!r}"))
        return found

    def _lead(self, lead_id: str, chatbot_id: str | None) -> tuple[Agent, int]:
        several = self._server.world.agents.values() if chatbot_id is None else [self._agent(chatbot_id)]
        for agent in several:
            number = agent.leads.find(lead_id)
            if number is not None:
                return agent, number
        raise ControlError(f"there is no lead {lead_id!r}")

    def _session(self, session_id: str, chatbot_id: str | None) -> tuple[Agent, Session]:
        agent = self._agent(chatbot_id)
        session = agent.sessions.get(session_id)
        if session is None:
            raise ControlError(f"there is no session {session_id!r}")
        return agent, session

    def _moment(self, value: Any) -> int:
        """Return a time given as datetime, ISO 8601 or seconds since 1970; without a zone it is in the settings'."""
        if value is None:
            return self._server.world.now
        moment = value
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                moment = None
        if isinstance(moment, datetime):
            moment = moment.replace(tzinfo=moment.tzinfo or self._server.world.settings.zone).timestamp()
        if isinstance(moment, bool) or not isinstance(moment, int | float):
            raise ControlError(f"{value!r} is no time: give ISO 8601 or seconds since 1970")
        if not _EARLIEST <= moment <= _LATEST:
            raise ControlError(f"{value!r} is outside the years 1 to 9999")
        return int(moment)


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a row. One whose name is taken, such as `created_at`, stands in an object `fields`."""
    inner = fields.pop("fields", {})
    if not (isinstance(inner, dict) and all(isinstance(name, str) for name in inner)):
        raise ControlError(f"fields must be an object, not {inner!r}")
    values = {**inner, **fields}
    try:
        orjson.dumps(values)
    except TypeError as unwritable:
        raise ControlError(f"fields cannot be written as JSON: {unwritable}") from None
    return values

"""The hook: a client for a connection, and typed methods to read from Robofy."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from asgiref.sync import sync_to_async

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.errors import (
    RobofyBadRequestError,
    RobofyConfigError,
    RobofyError,
    RobofyNotFoundError,
    RobofyResponseError,
)
from airflow_provider_robofy.api.models import Agent, InboxSession, Lead, Message, Project, parse
from airflow_provider_robofy.api.settings import user_agent
from airflow_provider_robofy.extract.pseudonyms import check_pseudonym_secret
from airflow_provider_robofy.get_provider_info import get_provider_info
from airflow_provider_robofy.hooks.connection import RobofyConnection, check_extra, read_connection
from airflow_provider_robofy.resources import LEADS, RESOURCES, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.api.models import M


class RobofyHook(BaseHook):
    """Talk to Robofy with the key of an Airflow connection.

    Usage::

        hook = RobofyHook("robofy_default")
        for lead in hook.iter_leads():
            print(lead.id, lead.created_at, lead.field("email"))

        hook.request("GET", "/v1/account/limit")  # what is not modelled

    :param robofy_conn_id: Id of a connection of type ``robofy``, with the API key in its password field. Default
        ``robofy_default``.
    """

    conn_name_attr = "robofy_conn_id"
    default_conn_name = "robofy_default"
    conn_type = "robofy"
    hook_name = "Robofy"

    def __init__(self, robofy_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.robofy_conn_id = robofy_conn_id

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: without connection and client, which contain keys and are made anew."""
        return {name: value for name, value in self.__dict__.items() if name not in {"connection", "client"}}

    @cached_property
    def connection(self) -> RobofyConnection:
        """Return the connection's checked fields. The connection is read once.

        :raises RobofyConfigError: There is no such connection, or a field cannot be used; the message names it.
        """
        try:
            found = self.get_connection(self.robofy_conn_id)
        except AirflowNotFoundException:
            raise self._no_connection() from None
        return self._read(found, found.extra_dejson)

    async def aconnection(self) -> RobofyConnection:
        """Return the connection's checked fields without blocking the event loop, for triggers.

        :raises RobofyConfigError: There is no such connection, or a field cannot be used; the message names it.
        """
        try:
            found = await get_async_connection(self.robofy_conn_id)
        except AirflowNotFoundException:
            # Under `airflow dags test` the asynchronous look-up does not see the connections of Airflow's database.
            try:
                found = await sync_to_async(self.get_connection)(self.robofy_conn_id)
            except AirflowNotFoundException:
                raise self._no_connection() from None
        return self._read(found, await get_async_extra_dejson(found))

    def _no_connection(self) -> RobofyConfigError:
        return RobofyConfigError(
            f"Connection {self.robofy_conn_id!r} does not exist. Add it in Airflow's UI under Admin, Connections, with "
            f"type Robofy and the API key as password; or run: airflow connections add {self.robofy_conn_id} "
            "--conn-type robofy --conn-password <API key>"
        )

    def _read(self, found: Any, extra: Any) -> RobofyConnection:
        try:
            if extra == {}:  # Airflow reads text that is not JSON as an empty object
                check_extra(found.extra)
            return read_connection(
                host=found.host,
                port=found.port,
                password=found.password,
                extra=extra,
                user_agent=user_agent(f"apache-airflow/{airflow_version}"),
            )
        except RobofyConfigError as error:
            raise RobofyConfigError(f"Connection {self.robofy_conn_id!r}: {error}") from None

    @cached_property
    def client(self) -> RobofyClient:
        """Return the hook's client, always the same one, so that open connections are used again."""
        return RobofyClient(self.connection.settings)

    def get_conn(self) -> RobofyClient:
        """Return the client, as Airflow's hooks do."""
        return self.client

    def project_id(self, given: str | int | None = None) -> str:
        """Return the given project id, or the connection's.

        :param given: The project id. None or empty: the connection's.
        :raises RobofyConfigError: Neither is set; the message names the extra to set.
        """
        return self._id("project_id", given, self.connection.project_id)

    def chatbot_id(self, given: str | None = None) -> str:
        """Return the given agent id, or the connection's.

        :param given: The agent id. None or empty: the connection's.
        :raises RobofyConfigError: Neither is set; the message names the extra to set.
        """
        return self._id("chatbot_id", given, self.connection.chatbot_id)

    def _id(self, name: str, given: object, default: str | None) -> str:
        value = str(given if given is not None else "").strip() or default
        if not value or value == "None":  # what a template makes of a missing value
            raise RobofyConfigError(
                f"{name} is not set: give it to the operator or hook, or set the extra {name!r} of connection "
                f"{self.robofy_conn_id!r}."
            )
        return value

    def iter_leads(
        self,
        project_id: str | int | None = None,
        chatbot_id: str | None = None,
        session_id: str | None = None,
    ) -> Iterator[Lead]:
        """Yield an agent's leads in the API's order, with one page in memory at a time.

        For files use :class:`~airflow_provider_robofy.operators.leads.RobofyFetchLeadsOperator`, which is faster,
        counts rows and removes duplicates.

        :param project_id: The project. Default: the connection's.
        :param chatbot_id: The agent. Default: the connection's.
        :param session_id: Only the leads of this session. Default: all.
        :return: The leads. Fields that the model does not name are kept.
        :raises RobofyError: The listing could not be read to its end.
        """
        call = endpoints.list_leads(self.project_id(project_id), self.chatbot_id(chatbot_id), session_id=session_id)
        yield from self._iter(Lead, call, LEADS.id)

    def iter_sessions(self, chatbot_id: str | None = None) -> Iterator[InboxSession]:
        """Yield an agent's chat sessions in the API's order, with one page in memory at a time.

        For files use :class:`~airflow_provider_robofy.operators.inbox.RobofyFetchSessionsOperator`.

        :param chatbot_id: The agent. Default: the connection's.
        :return: The sessions.
        :raises RobofyError: The listing could not be read to its end.
        """
        yield from self._iter(InboxSession, endpoints.list_sessions(self.chatbot_id(chatbot_id)), SESSIONS.id)

    def iter_messages(self, session_id: str | int, chatbot_id: str | None = None) -> Iterator[Message]:
        """Yield the messages of one session in the API's order, with one page in memory at a time.

        For many sessions use :class:`~airflow_provider_robofy.operators.inbox.RobofyFetchMessagesOperator`, which reads
        several at a time.

        :param session_id: The session. No log line and no error contains it.
        :param chatbot_id: Its agent. Default: the connection's.
        :return: The messages.
        :raises RobofyNotFoundError: The session does not exist, or no longer.
        :raises RobofyError: The listing could not be read to its end.
        """
        yield from self._iter(Message, endpoints.list_session_messages(self.chatbot_id(chatbot_id), str(session_id)))

    def list_agents(self, project_id: str | int | None = None) -> list[Agent]:
        """Return the agents of a project.

        :param project_id: The project. Default: the connection's.
        :return: The agents.
        :raises RobofyError: The listing could not be read to its end.
        """
        return list(self._iter(Agent, endpoints.list_agents(self.project_id(project_id))))

    def list_projects(self) -> list[Project]:
        """Return the projects that the key can see.

        :return: The projects.
        :raises RobofyError: The listing could not be read to its end.
        """
        return list(self._iter(Project, endpoints.list_projects()))

    def request(self, method: str, path: str, *, params: dict[str, Any] | None = None, json: Any = None) -> Any:
        """Call a path of the API that has no method here, with the same key, retries and limits.

        :param method: HTTP method. Only GET, HEAD and OPTIONS are sent again when the answer is lost.
        :param path: Path on the connection's host, percent-encoded. Starts with ``/``.
        :param params: Query parameters. Default none.
        :param json: Body, sent as JSON. Default none.
        :return: The decoded JSON of the answer, or None for an empty one.
        :raises RobofyError: The call failed.
        """
        return self.client.call(endpoints.anything(method, path, params=params, json=json))

    def _iter(self, model: type[M], call: Call[Rows], row_id: str | None = None) -> Iterator[M]:
        times = self.connection.times
        for page in self.client.pages(call, row_id=row_id):
            for row in page.rows:
                yield parse(model, row, call, times)

    def test_connection(self) -> tuple[bool, str]:
        """Test the connection with a read-only call.

        It lists the agents of the connection's project, or the projects of the key where no project is set. If the
        connection's agent is not among them, further calls look for it.

        :return: Whether the connection works, and a sentence that says what was found or what to fix.
        """
        try:
            connection = self.connection
            if connection.pseudonym_secret:
                check_pseudonym_secret(connection.pseudonym_secret)
            for resource in RESOURCES.values():
                connection.privacy_policy(resource, None)  # raises for rules that no task could apply
            host = urlsplit(connection.settings.base_url).netloc
            project = connection.project_id
            call = endpoints.list_agents(project) if project else endpoints.list_projects()
            try:
                rows = self.client.call(call)
            except RobofyResponseError as error:
                if error.content_type != "application/json" or not 200 <= (error.status or 0) < 300:
                    raise
                # The key was accepted. Only the answer of this listing, which is not documented, cannot be read.
                return (
                    True,
                    f"{host} accepted the key, but its answer to {call.endpoint} is not understood: {error}",
                )
            more = " or more" if rows.token else ""
            if project:
                seen = f"{host} accepted the key; project {project} has {_count(rows, 'agent')}{more}"
            else:
                seen = f"{host} accepted the key; it can see {_count(rows, 'project')}{more}"
                seen += " (no project_id is set as a default)"
            if not connection.chatbot_id:
                return True, seen
            if project and _mentions(rows.items, connection.chatbot_id):
                return True, f"{seen}, the agent {connection.chatbot_id} among them"
            if more and not project:
                return True, seen  # the agent may be one of those that were not listed
            return self._ask_for_agent(project, rows.items, connection.chatbot_id, seen)
        except RobofyError as error:
            return False, str(error)

    def _ask_for_agent(self, project: str | None, rows: Sequence[Any], chatbot_id: str, seen: str) -> tuple[bool, str]:
        """Return the result of :meth:`test_connection` for an agent that the first listing does not contain.

        How Robofy lists agents is not documented. So the test fails only if no listing contains the agent and Robofy
        also refuses a call for it.

        :param project: The connection's project, or None.
        :param rows: Agents of the project, or projects of the key.
        :param chatbot_id: The connection's agent.
        :param seen: First part of the sentence to return.
        """
        try:
            times, call = self.connection.times, endpoints.list_projects()
            for one in [project] if project else [parse(Project, row, call, times).project_id for row in rows]:
                found = f"{seen}; the agent {chatbot_id} is there"
                if not project and _mentions(self.client.call(endpoints.list_agents(one)).items, chatbot_id):
                    return True, found
                try:
                    self.client.call(endpoints.retrieve_agent(one, chatbot_id))
                except (RobofyNotFoundError, RobofyBadRequestError):
                    continue
                return True, found
        except RobofyError as error:
            return True, f"{seen}. Whether there is an agent of the extra chatbot_id could not be seen: {error}"
        return False, (
            f"{seen}, and no agent is the one that the extra chatbot_id names. Copy its id from Robofy's dashboard."
        )

    # Airflow below 3.2 takes the form from these two; later ones read get_provider_info() and do not call them.

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form, built from the provider's metadata."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import IntegerField, PasswordField, StringField
        from wtforms.validators import Optional

        def widget(field: dict[str, Any]) -> Any:
            kind: Any = StringField
            if "integer" in field["schema"]["type"]:
                kind = IntegerField
            elif field["schema"].get("format") == "password":
                kind = PasswordField
            look = BS3PasswordFieldWidget() if kind is PasswordField else BS3TextFieldWidget()
            return kind(field["label"], widget=look, description=field["description"], validators=[Optional()])

        fields = get_provider_info()["connection-types"][0]["conn-fields"]
        return {name: widget(field) for name, field in fields.items()}

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the labels of the form's standard fields and which ones are hidden, from the provider's metadata."""
        behaviour = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}


def _mentions(rows: Sequence[Any], chatbot_id: str) -> bool:
    """Return whether any field of the rows is the agent's id. The name of that field is not documented."""
    return any(str(value) == chatbot_id for row in rows if isinstance(row, dict) for value in row.values())


def _count(rows: Rows, noun: str) -> str:
    return f"{len(rows.items)} {noun}{'' if len(rows.items) == 1 else 's'}"

"""Which account is probed: a connection of Airflow, or a key from the environment without any Airflow."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.settings import user_agent
from airflow_provider_robofy.hooks.connection import RobofyConnection, read_connection

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_VARIABLE: Final = "ROBOFY_API_KEY"
#: With this, Airflow 3 looks for connections in its database too, as its own command line does.
_CONTEXT: Final = ("_AIRFLOW_PROCESS_CONTEXT", "server")


class UnknownConnectionError(Exception):
    """Tell that Airflow has no such connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Say what to probe.

    :param connection: How to reach it, and what it is taken for.
    :param conn_id: The connection's id; None where it was made from the environment.
    """

    connection: RobofyConnection
    conn_id: str | None = None

    @property
    def shown_ids(self) -> dict[str, str | None]:
        """Return the ids that were given, which the report may repeat. Those that are found out are not said."""
        return {"project_id": self.connection.project_id, "chatbot_id": self.connection.chatbot_id}

    def changed(self, *, project_id: str | None, chatbot_id: str | None, requests_per_minute: float | None) -> Account:
        """Return the account with what the command line says otherwise."""
        settings = self.connection.settings
        if requests_per_minute is not None:
            settings = replace(settings, requests_per_minute=requests_per_minute)
        connection = replace(
            self.connection,
            settings=settings,
            project_id=project_id or self.connection.project_id,
            chatbot_id=chatbot_id or self.connection.chatbot_id,
        )
        return replace(self, connection=connection)


def from_environment(host: str | None) -> Account | None:
    """Make an account from the key in ``ROBOFY_API_KEY``; None where there is none. Imports no Airflow.

    :param host: Base URL, or None for the public API.
    :raises RobofyConfigError: Key or host cannot be used.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return None
    return Account(connection=read_connection(host=host, password=key, extra={}, user_agent=user_agent("probe")))


def from_airflow(conn_id: str) -> Account:
    """Read a connection as Airflow does: from environment variables, secrets backends or its database.

    :raises UnknownConnectionError: There is none, or Airflow could not look.
    :raises RobofyConfigError: A field of it cannot be used.
    """
    with _as_the_command_line():
        from airflow_provider_robofy.hooks.robofy import RobofyHook

        try:
            return Account(connection=RobofyHook(conn_id).connection, conn_id=conn_id)
        except RobofyConfigError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, there is no connection to probe with)
            # Airflow's own errors differ between versions and backends; their type says enough.
            raise UnknownConnectionError(type(error).__name__) from None


@contextmanager
def _as_the_command_line() -> Iterator[None]:
    name, value = _CONTEXT
    before = os.environ.get(name)
    os.environ.setdefault(name, value)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]

"""What places are called that data lies in: by Airflow's assets, and by OpenLineage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from typing import Self

    from airflow.providers.common.compat.sdk import Connection
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.providers.openlineage.sqlparser import DatabaseInfo

# One store, one name: by these schemes, Airflow's stores and OpenLineage's naming mean the same bucket.
_ALIASES: Final = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
# Systems in which a table lies in a database, with no schema between.
_NO_SCHEMAS: Final = {"mysql", "mariadb"}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# What may stand in a path of a URI as it is.
_PLAIN: Final = "/:+=@!$&'()*,;~"


@dataclass(frozen=True, slots=True)
class Location:
    """Name one place in the ways of both who ask.

    :param uri: As Airflow's assets name it.
    :param namespace: As OpenLineage's naming has it, the system; ``name`` what lies in it.
    """

    uri: str
    namespace: str
    name: str

    @classmethod
    def of(cls, path: str) -> Self:
        """Name what a path or URL leads to.

        Usage::

            Location.of("s3://aws_default@lake/leads.jsonl")  # s3://lake/leads.jsonl; s3://lake and leads.jsonl
            Location.of("/data/leads.jsonl")  # file:///data/leads.jsonl; file and /data/leads.jsonl

        :param path: Absolute path, or anything that Airflow's ``ObjectStoragePath`` opens. The connection before an
            ``@`` is how to get there and not where it is, so it is no part of the names.
        """
        found = _SCHEME.match(path)
        scheme = found[0][:-3].lower() if found else "file"
        rest = path[found.end() :] if found else path
        if scheme in {"file", "local"}:
            plain = str(PurePosixPath("/", rest.lstrip("/")))
            return cls(f"file://{_quoted(plain)}", "file", plain)
        # Not by urlsplit: a key may hold ? and #, which mean nothing in a store.
        authority, _, key = rest.partition("/")
        root = f"{_ALIASES.get(scheme, scheme)}://{authority.rpartition('@')[2]}"
        return cls(f"{root}/{_quoted(key)}", root, key)

    @classmethod
    def of_uri(cls, uri: str) -> Self:
        """Name what an asset's URI stands for, where its parts are the names already.

        :param uri: For example ``robofy://host/project/agent/leads``.
        """
        parts = urlsplit(uri)
        return cls(uri, f"{parts.scheme}://{parts.netloc}", parts.path.strip("/"))

    @classmethod
    def of_table(cls, hook: DbApiHook, table: str, schema: str | None = None) -> Self:
        """Name a table as Airflow's SQL operators name it, so that a task that writes it meets those that read it.

        :param hook: The database's hook. It is asked what it tells OpenLineage of its database. Without a schema it may
            ask the database for its default one.
        :param table: The table, without a schema.
        :param schema: Its schema, in MySQL its database. Default: the one that the connection leads to.
        """
        connection = hook.get_connection(hook.get_conn_id())
        if connection.conn_type == "sqlite":
            # OpenLineage has no naming for it, and the hook tells nothing.
            root = f"sqlite://{PurePosixPath('/', str(connection.host or '').lstrip('/'))}"
            parts = [schema if schema != "main" else None, table]
        else:
            info = _database_info(hook, connection)
            scheme = info.scheme if info else str(connection.conn_type)
            authority = info.authority if info else _authority(connection)
            root = f"{scheme}://{authority}" if authority else scheme
            parts = _path(hook, connection, info, scheme, schema, table)
        names = [part for part in parts if part]
        # A system without an authority is its scheme alone to OpenLineage, which would be no URI.
        start = root if "://" in root else f"{root}:/"
        return cls("/".join([start, *map(_quoted, names)]), root, ".".join(names))


def _path(  # noqa: PLR0917 - one caller, and all of it is needed
    hook: DbApiHook, connection: Connection, info: DatabaseInfo | None, scheme: str, schema: str | None, table: str
) -> list[str | None]:
    if scheme in _NO_SCHEMAS:
        return [schema or connection.schema, table]
    database = info.database if info else connection.schema
    parts = [database, schema or hook.get_openlineage_default_schema(), table]
    return [part and part.upper() for part in parts] if info and info.is_uppercase_names else parts


def _database_info(hook: DbApiHook, connection: Connection) -> DatabaseInfo | None:
    try:
        return hook.get_openlineage_database_info(connection)
    except ImportError:
        return None  # it is here that hooks import the OpenLineage provider


def _authority(connection: Connection) -> str:
    host = connection.host or ""
    return f"{host}:{connection.port}" if connection.port else host


def _quoted(path: str) -> str:
    # A disk may hold names that are no text; lineage is not what should stumble over them.
    return quote(path, safe=_PLAIN, errors="surrogatepass")

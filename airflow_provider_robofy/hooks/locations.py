"""Names of files, tables and Robofy's listings, for Airflow's assets and for OpenLineage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from typing import Self

    from airflow.providers.common.sql.hooks.sql import DbApiHook

# These schemes mean the same bucket, so that one store has one name.
_ALIASES: Final = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
# Systems where a table is in a database, without a schema.
_NO_SCHEMAS: Final = {"mysql", "mariadb"}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# Characters that need no percent-encoding in the path of a URI.
_PLAIN: Final = "/:+=@!$&'()*,;~"


@dataclass(frozen=True, slots=True)
class Location:
    """One file, table or listing, by the names that Airflow and OpenLineage use.

    :param uri: URI for Airflow's assets.
    :param namespace: OpenLineage's namespace: the system.
    :param name: OpenLineage's name: the file, table or listing in that system.
    """

    uri: str
    namespace: str
    name: str

    @classmethod
    def of(cls, path: str) -> Self:
        """Return the names of a file or folder.

        Usage::

            Location.of("s3://aws_default@lake/leads.jsonl")  # s3://lake/leads.jsonl; s3://lake and leads.jsonl
            Location.of("/data/leads.jsonl")  # file:///data/leads.jsonl; file and /data/leads.jsonl

        :param path: Absolute path, or anything that Airflow's ``ObjectStoragePath`` opens. A connection id before an
            ``@`` is not part of the names.
        :return: The location.
        """
        found = _SCHEME.match(path)
        scheme = found[0][:-3].lower() if found else "file"
        rest = path[found.end() :] if found else path
        if scheme in {"file", "local"}:
            plain = str(PurePosixPath("/", rest.lstrip("/")))
            return cls(f"file://{_quoted(plain)}", "file", plain)
        # Not with urlsplit: the key of an object may contain ? and #.
        authority, _, key = rest.partition("/")
        root = f"{_ALIASES.get(scheme, scheme)}://{authority.rpartition('@')[2]}"
        return cls(f"{root}/{_quoted(key)}", root, key)

    @classmethod
    def of_uri(cls, uri: str) -> Self:
        """Return the names of an asset whose URI consists of them.

        :param uri: For example ``robofy://host/project/agent/leads``.
        :return: The location.
        """
        parts = urlsplit(uri)
        return cls(uri, f"{parts.scheme}://{parts.netloc}", parts.path.strip("/"))

    @classmethod
    def of_table(cls, hook: DbApiHook, table: str, schema: str | None = None) -> Self:
        """Return the names of a table, equal to those of Airflow's SQL operators, so that lineage connects.

        :param hook: The database's hook. Without a schema it may ask the database for the default one.
        :param table: The table, without a schema.
        :param schema: Its schema; in MySQL its database. Default: the connection's.
        :return: The location.
        """
        connection = hook.get_connection(hook.get_conn_id())
        if connection.conn_type == "sqlite":
            # OpenLineage defines no names for SQLite, and the hook gives none.
            root = f"sqlite://{PurePosixPath('/', str(connection.host or '').lstrip('/'))}"
            parts = [schema if schema != "main" else None, table]
        else:
            try:
                info = hook.get_openlineage_database_info(connection)
            except ImportError:
                info = None  # the hook imports the OpenLineage provider in this method
            scheme = info.scheme if info else str(connection.conn_type)
            host = f"{connection.host or ''}:{connection.port}" if connection.port else connection.host
            authority = info.authority if info else host
            root = f"{scheme}://{authority}" if authority else scheme
            if scheme in _NO_SCHEMAS:
                parts = [schema or connection.schema, table]
            else:
                database = info.database if info else connection.schema
                parts = [database, schema or hook.get_openlineage_default_schema(), table]
                if info and info.is_uppercase_names:
                    parts = [part and part.upper() for part in parts]
        names = [part for part in parts if part]
        # For a system without an authority OpenLineage uses the scheme alone, which is not a URI.
        start = root if "://" in root else f"{root}:/"
        return cls("/".join([start, *map(_quoted, names)]), root, ".".join(names))


def _quoted(path: str) -> str:
    # A file name may contain bytes that are not UTF-8; lineage should not fail because of it.
    return quote(path, safe=_PLAIN, errors="surrogatepass")

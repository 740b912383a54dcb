"""Airflow assets for an agent's data at Robofy: ``robofy://host/project/agent/leads``.

They are inlets: a task reads from them. The outlet is the file that the task lands, so a DAG that is scheduled on an
agent's leads does not start itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from airflow.providers.common.compat.openlineage.facet import Dataset

DEFAULT_HOST: Final = "agents.robofy.ai"
RESOURCES: Final = ("leads", "sessions", "messages", "knowledge")
#: Written in place of a project that is not known.
NO_PROJECT: Final = "-"

_TEMPLATE = re.compile(r"\{[{%#]")


def leads_asset(project_id: str | int, chatbot_id: str, *, host: str = DEFAULT_HOST, **kwargs: Any) -> Asset:
    """Return the asset of an agent's leads.

    Usage, a DAG that starts when leads arrive (Airflow 3.3)::

        leads = leads_asset(24017, "UOmf...", watchers=[AssetWatcher(name="new_leads", trigger=...)])


        @dag(schedule=[leads])
        def sync(): ...

    :param project_id: The agent's project. Not a template: Airflow registers assets when it parses the DAG file.
    :param chatbot_id: The agent's id. Not a template either.
    :param host: Host of the API. Default ``agents.robofy.ai``; the connection's host, if it has one.
    :param kwargs: Passed to ``Asset``, for example ``watchers``, ``name`` and ``group``.
    :return: The asset.
    :raises RobofyConfigError: An id is empty or a template.
    """
    return _asset("leads", project_id, chatbot_id, host, kwargs)


def sessions_asset(project_id: str | int, chatbot_id: str, *, host: str = DEFAULT_HOST, **kwargs: Any) -> Asset:
    """Return the asset of an agent's inbox sessions.

    :param project_id: As for :func:`leads_asset`.
    :param chatbot_id: As for :func:`leads_asset`.
    :param host: As for :func:`leads_asset`.
    :param kwargs: Passed to ``Asset``.
    :return: The asset.
    :raises RobofyConfigError: An id is empty or a template.
    """
    return _asset("sessions", project_id, chatbot_id, host, kwargs)


def resource_uri(resource: str, project_id: str | int | None, chatbot_id: str, *, host: str = DEFAULT_HOST) -> str:
    """Return the URI of an agent's data at Robofy.

    Usage::

        resource_uri("leads", 24017, "UOmf...")  # robofy://agents.robofy.ai/24017/UOmf.../leads

    :param resource: ``leads``, ``sessions``, ``messages`` or ``knowledge``.
    :param project_id: The agent's project. None is written as ``-``.
    :param chatbot_id: The agent's id.
    :param host: Host of the API, with its port if it has one.
    :return: The URI, with percent-encoded ids.
    """
    path = "/".join(quote(str(part).strip(), safe="") for part in (project_id or NO_PROJECT, chatbot_id))
    return f"robofy://{host}/{path}/{resource}"


def is_template(value: object) -> bool:
    """Return whether a value is not known before the task runs.

    :param value: The value, such as a Jinja template or an XCom argument.
    """
    return not isinstance(value, str | int) or (isinstance(value, str) and bool(_TEMPLATE.search(value)))


def _asset(resource: str, project_id: str | int, chatbot_id: str, host: str, kwargs: dict[str, Any]) -> Asset:
    for name, value in (("project_id", project_id), ("chatbot_id", chatbot_id)):
        if is_template(value) or not str(value).strip():
            raise RobofyConfigError(
                f"{name} of an asset must be written out, not a template or empty: Airflow registers assets when it "
                "parses the DAG file."
            )
    return Asset(uri=resource_uri(resource, project_id, chatbot_id, host=host), **kwargs)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Normalize a ``robofy://`` URI.

    Airflow calls this for every such asset when it parses a DAG file. Where it raises, the file fails to import
    (Airflow 3), or a warning is logged (Airflow 2.11).

    :param uri: The URI in the DAG file, split.
    :return: The URI with a lower-case host and percent-encoded ids.
    :return: The same place in normal form: lower-case host, percent-encoding as this provider writes it.
    :raises ValueError: It is not ``robofy://host/project/agent/leads`` (or ``.../sessions``, ``.../messages``,
        ``.../knowledge``).
    """
    parts = uri.path.strip("/").split("/")
    if not uri.netloc or uri.query or len(parts) != 3 or not all(parts) or parts[2] not in RESOURCES:
        raise ValueError(
            "a Robofy asset is robofy://host/project/agent/leads (or .../sessions, .../messages, .../knowledge), with "
            f"ids percent-encoded, but this one has the path {uri.path!r}"
        )
    project, agent, resource = parts
    path = f"/{quote(unquote(project), safe='')}/{quote(unquote(agent), safe='')}/{resource}"
    return uri._replace(netloc=uri.netloc.lower(), path=path, fragment="")


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Dataset:  # noqa: ARG001 - Airflow's signature
    """Return the OpenLineage dataset of a ``robofy://`` asset.

    The OpenLineage provider calls this for assets among a task's inlets and outlets.

    :param asset: The asset, with a normalized URI.
    :param lineage_context: Not used.
    :return: The dataset, with the namespace ``robofy://host`` and the name ``project/agent/leads``.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    uri = urlsplit(asset.uri)
    return Dataset(namespace=f"{uri.scheme}://{uri.netloc}", name=uri.path.strip("/"))

"""Assets that stand for what Robofy holds: ``robofy://host/project/agent/leads``.

They are inlets: a task reads from them. The file that a task lands is its outlet, so that a DAG scheduled on the leads
of an agent does not start itself.
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
#: Stands for a project that nobody named.
NO_PROJECT: Final = "-"

_TEMPLATE = re.compile(r"\{[{%#]")


def leads_asset(project_id: str | int, chatbot_id: str, *, host: str = DEFAULT_HOST, **kwargs: Any) -> Asset:
    """Return the asset of an agent's leads.

    Usage, a DAG that starts when leads arrive (Airflow 3.3)::

        leads = leads_asset(24017, "UOmf...", watchers=[AssetWatcher(name="new_leads", trigger=...)])


        @dag(schedule=[leads])
        def sync(): ...

    :param project_id: The agent's project, written out: Airflow registers assets when it parses the DAG file, before
        any template is rendered.
    :param chatbot_id: The agent, likewise.
    :param host: Host of the API, where an account has its own.
    :param kwargs: For ``Asset``, for example ``watchers``, ``name``, ``group``.
    :raises RobofyConfigError: An id is empty or a template.
    """
    return _asset("leads", project_id, chatbot_id, host, kwargs)


def sessions_asset(project_id: str | int, chatbot_id: str, *, host: str = DEFAULT_HOST, **kwargs: Any) -> Asset:
    """Return the asset of an agent's inbox sessions; see :func:`leads_asset`."""
    return _asset("sessions", project_id, chatbot_id, host, kwargs)


def resource_uri(resource: str, project_id: str | int | None, chatbot_id: str, *, host: str = DEFAULT_HOST) -> str:
    """Return the URI of what Robofy holds of an agent.

    Usage::

        resource_uri("leads", 24017, "UOmf...")  # robofy://agents.robofy.ai/24017/UOmf.../leads

    :param resource: ``leads``, ``sessions``, ``messages`` or ``knowledge``.
    :param project_id: The agent's project; ``-`` stands for None.
    :param chatbot_id: The agent.
    :param host: Host of the API, with its port where it has one.
    """
    path = "/".join(quote(str(part).strip(), safe="") for part in (project_id or NO_PROJECT, chatbot_id))
    return f"robofy://{host}/{path}/{resource}"


def is_template(value: object) -> bool:
    """Return whether a value is only known once a task runs."""
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
    """Bring a ``robofy://`` URI into its one form, or refuse it.

    Airflow calls this for every such asset when a DAG file is parsed; the file fails to import where it raises
    (Airflow 3) or a warning is logged (Airflow 2.11).

    :param uri: What the DAG file says, split.
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
    """Turn a ``robofy://`` asset into the dataset that OpenLineage knows the same place by.

    The OpenLineage provider calls this for assets among a task's inlets and outlets.

    :param asset: The asset, in normal form.
    :param lineage_context: Not used: the URI says all.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    uri = urlsplit(asset.uri)
    return Dataset(namespace=f"{uri.scheme}://{uri.netloc}", name=uri.path.strip("/"))

"""Assets that stand for what Robofy holds: ``robofy://host/project/agent/leads``.

They are inlets: a task reads from them. The file that a task lands is its outlet, so that a DAG scheduled on the leads
of an agent does not start itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

DEFAULT_HOST: Final = "agents.robofy.ai"
RESOURCES: Final = ("leads", "sessions")

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


def is_template(value: object) -> bool:
    """Tell whether a value is only known once a task runs."""
    return not isinstance(value, str | int) or (isinstance(value, str) and bool(_TEMPLATE.search(value)))


def _asset(resource: str, project_id: str | int, chatbot_id: str, host: str, kwargs: dict[str, Any]) -> Asset:
    for name, value in (("project_id", project_id), ("chatbot_id", chatbot_id)):
        if is_template(value) or not str(value).strip():
            raise RobofyConfigError(
                f"{name} of an asset must be written out, not a template or empty: Airflow registers assets when it "
                "parses the DAG file."
            )
    path = "/".join(quote(str(part).strip(), safe="") for part in (project_id, chatbot_id))
    return Asset(uri=f"robofy://{host}/{path}/{resource}", **kwargs)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Bring a ``robofy://`` URI into its one form, or refuse it.

    Airflow calls this for every such asset when a DAG file is parsed; the file fails to import where it raises
    (Airflow 3) or a warning is logged (Airflow 2.11).

    :param uri: What the DAG file says, split.
    :return: The same place in normal form: lower-case host, percent-encoding as this provider writes it.
    :raises ValueError: It is not ``robofy://host/project/agent/leads`` (or ``.../sessions``).
    """
    parts = uri.path.strip("/").split("/")
    if not uri.netloc or uri.query or len(parts) != 3 or not all(parts) or parts[2] not in RESOURCES:
        raise ValueError(
            f"a Robofy asset is robofy://host/project/agent/leads or .../sessions, with ids percent-encoded, but this "
            f"one has the path {uri.path!r}"
        )
    project, agent, resource = parts
    path = f"/{quote(unquote(project), safe='')}/{quote(unquote(agent), safe='')}/{resource}"
    return uri._replace(netloc=uri.netloc.lower(), path=path, fragment="")

"""What every Robofy operator does in the same way."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError
from airflow_provider_robofy.assets.robofy import resource_uri
from airflow_provider_robofy.extract.files import sweep
from airflow_provider_robofy.extract.landing import FAILED_SUFFIX, REJECTED_SUFFIX, SUFFIX
from airflow_provider_robofy.hooks.lineage import Lineage
from airflow_provider_robofy.hooks.locations import Location
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.hooks.storage import landing_root, open_store, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_robofy.api.client import RobofyClient
    from airflow_provider_robofy.extract.files import Store


#: Bytes of a path component, and how many of them are its hash where it was cut.
_LONGEST_COMPONENT: Final = 200
_HASH_LENGTH: Final = 32
_HALF_ESCAPE: Final = re.compile(r"%[0-9A-F]?$")


class Cancellable(Protocol):
    """What can be ended from a signal handler."""

    def cancel(self) -> None:
        """End it; it raises in the thread that runs it."""


C = TypeVar("C", bound=Cancellable)


class EndsWhenKilled:
    """End what a task has under way when the task is killed. To stand before Airflow's own class among the bases."""

    #: Has Airflow killed the task? What has chunks to do checks it before each.
    killed = False

    def on_kill(self) -> None:
        """End what is under way, and what begins from here on: on Airflow 3 the task goes on after this call."""
        self.killed = True
        for work in self.__dict__.get("_under_way", ()):
            work.cancel()

    def ending_when_killed(self, work: C) -> C:
        """Return what is given, which :meth:`on_kill` cancels.

        :param work: What the task begins.
        """
        self.__dict__.setdefault("_under_way", []).append(work)
        if self.killed:
            work.cancel()
        return work


class RobofyConnected(EndsWhenKilled):
    """A task with a Robofy connection."""

    robofy_conn_id: str
    ui_color = "#e7f0ff"

    @cached_property
    def hook(self) -> RobofyHook:
        """Return the hook of the connection."""
        return RobofyHook(self.robofy_conn_id)

    @cached_property
    def client(self) -> RobofyClient:
        """Return the hook's client, which ends when the task is killed."""
        return self.ending_when_killed(self.hook.client)


class RobofyBaseOperator(RobofyConnected, BaseOperator):
    """Base of every Robofy operator: its connection, which ends when the task is killed, and its lineage.

    :param robofy_conn_id: Id of the Robofy connection.
    """

    def __init__(self, *, robofy_conn_id: str = RobofyHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.robofy_conn_id = robofy_conn_id

    @cached_property
    def lineage(self) -> Lineage:
        """Return what the task has read and written so far."""
        return Lineage(self.hook)

    def location_of(self, resource: str, project_id: str | None, chatbot_id: str) -> Location:
        """Return the name of what Robofy stores of an agent, for lineage.

        :param resource: One of :data:`~airflow_provider_robofy.assets.robofy.RESOURCES`.
        :param project_id: The agent's project, None where it is not known.
        :param chatbot_id: The agent.
        """
        host = urlsplit(self.hook.connection.settings.base_url).netloc
        return Location.of_uri(resource_uri(resource, project_id, chatbot_id, host=host))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:  # noqa: ARG002
        """Return what OpenLineage is to say of the task; its provider asks, be it that the task succeeded or failed."""
        return self.lineage.openlineage()


@contextmanager
def failing_at_once() -> Iterator[None]:
    """Turn an error that a retry cannot fix into one that Airflow does not retry.

    The cause is cut off: its traceback could show a URL.
    """
    try:
        yield
    except RobofyError as error:
        if error.permanent:
            raise AirflowFailException(str(error)) from None
        raise


def run_key(context: Context) -> str:
    """Return the key of the task in its run: the same for a retry and for a cleared task.

    :param context: The task's context.
    """
    ti = context["ti"]
    mapped = f"/{ti.map_index}" if getattr(ti, "map_index", -1) >= 0 else ""
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}{mapped}"


def landing_store(output_path: str | None, context: Context, *folders: str) -> Store:
    """Return where a task lands its rows.

    :param output_path: Where the user says, or None.
    :param context: The task's context.
    :param folders: Folders below the landing root: resource, project, agent; an empty one is left out.
    :raises RobofyConfigError: Neither ``output_path`` nor a landing root is set.
    """
    text = str(output_path or "").strip()
    if not text:
        root = landing_root()
        if not root:
            raise RobofyConfigError(
                "There is nowhere to land: set output_path on the operator, or landing_root in Airflow's config "
                "section [robofy] (AIRFLOW__ROBOFY__LANDING_ROOT)."
            )
        text = "/".join([root, *map(path_component, filter(None, folders)), *_file(context)])
    store = open_store(place(text, "output_path"))
    store.check_length("output_path", SUFFIX, REJECTED_SUFFIX, FAILED_SUFFIX)
    if store.is_local and not str(output_path or "").strip():
        sweep(Path(store.path).parent)
    return store


def _file(context: Context) -> tuple[str, ...]:
    ti = context["ti"]
    mapped = f"-{ti.map_index}" if getattr(ti, "map_index", -1) >= 0 else ""
    return path_component(ti.dag_id), path_component(ti.run_id), f"{path_component(ti.task_id)}{mapped}.jsonl"


def path_component(*names: str) -> str:
    """Return ids, which may contain slashes, as one path component that every filesystem takes.

    Beyond 200 bytes it is cut, and a hash of the whole tells it from others that begin alike. The rest, up to the 255
    that most filesystems take, is for endings and for what a spool's name has beyond its file's.

    :param names: The ids; a dot goes between them.
    """
    whole = full_path_component(*names)
    if len(whole) <= _LONGEST_COMPONENT:
        return whole
    kept = _HALF_ESCAPE.sub("", whole[: _LONGEST_COMPONENT - _HASH_LENGTH - 1])
    return f"{kept}~{sha256(whole.encode()).hexdigest()[:_HASH_LENGTH]}"


def full_path_component(*names: str) -> str:
    """Return ids as one path component, however long, in ASCII.

    :param names: The ids; a dot goes between them.
    """
    encoded = (quote(name, safe=":+=@ ") for name in names)
    return ".".join(one.replace(".", "%2E") if one in {".", ".."} else one for one in encoded)

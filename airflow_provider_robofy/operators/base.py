"""What every Robofy operator does in the same way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError
from airflow_provider_robofy.assets.robofy import resource_uri
from airflow_provider_robofy.extract.files import sweep
from airflow_provider_robofy.extract.landing import FAILED_SUFFIX, NEXT_SUFFIX, REJECTED_SUFFIX, SUFFIX
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


#: Templated arguments for which no value has a meaning of its own: an open window, no metadata, all shards.
_MAY_BE_EMPTY = {"since", "until", "metadata", "shard"}
#: What counts for a run outside of Airflow.
_MANUAL: Final[Mapping[str, str | int]] = {"run_id": "manual", "map_index": -1, "try_number": 1}

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

    def remember_given(self) -> None:
        """Note which templated arguments were given; to be called at the end of the constructor."""
        self._given = {name for name in self.template_fields if getattr(self, name, None) is not None} - _MAY_BE_EMPTY

    def checked(self, context: Context) -> Context:
        """Return the context, after checking that no template of an argument rendered to nothing.

        Outside of a running task, as in a unit test, the context may be empty or a mock: what it lacks is then the
        operator's own dag_id and task_id, and the run ``manual``.

        :param context: What ``execute`` was given.
        :raises RobofyConfigError: An argument was given as a template or XCom that has no value.
        """
        for name in sorted(self._given):
            value = getattr(self, name)
            if value is None or (isinstance(value, str) and value.strip() == "None"):
                raise RobofyConfigError(
                    f"{name} is {value!r}: the template or XCom that it is made of has no value. Check that the task "
                    "it comes from has run and returned one."
                )
        given: Mapping[str, Any] = context if isinstance(cast("Any", context), Mapping) else {}
        ti = given.get("ti", given.get("task_instance"))
        dag_id = self.dag_id if self.has_dag() else "no_dag"  # type: ignore[no-untyped-call]
        defaults: dict[str, str | int] = {"dag_id": dag_id, "task_id": self.task_id, **_MANUAL}
        if ti is not None and all(isinstance(getattr(ti, name, one), type(one)) for name, one in defaults.items()):
            return context
        return cast("Context", {**given, "ti": _ManualRun(ti, defaults)})

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


class _ManualRun:
    """Take the part of the task instance where ``execute`` is called by hand.

    :param ti: What is in the context, such as a mock that records what is pushed; or None.
    :param defaults: Attributes that count where ``ti`` has none of that type.
    """

    def __init__(self, ti: Any, defaults: Mapping[str, str | int]) -> None:
        self._ti = ti
        for name, one in defaults.items():
            value = getattr(ti, name, one)
            setattr(self, name, value if isinstance(value, type(one)) else one)

    def xcom_push(self, key: str, value: Any) -> None:
        if self._ti is not None:
            self._ti.xcom_push(key=key, value=value)


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


def read_limit(name: str, value: int, *, least: int = 0) -> int:
    """Return a limit that a user gave.

    :param name: The argument, for the error.
    :param value: The limit.
    :param least: Smallest value that is allowed. Default 0.
    :raises RobofyConfigError: It is no whole number, or smaller.
    """
    if type(value) is not int or value < least:
        raise RobofyConfigError(f"{name}={str(value)[:40]!r} must be a whole number, at least {least}.")
    return value


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
    store.check_length("output_path", SUFFIX, REJECTED_SUFFIX, FAILED_SUFFIX, NEXT_SUFFIX)
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

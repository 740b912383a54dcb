"""Base classes of every Robofy operator, and the helpers that they share."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError
from airflow_provider_robofy.assets.events import describe_events
from airflow_provider_robofy.assets.robofy import resource_uri
from airflow_provider_robofy.extract.landing import FAILED_SUFFIX, NEXT_SUFFIX, REJECTED_SUFFIX, SUFFIX
from airflow_provider_robofy.extract.spool import sweep
from airflow_provider_robofy.hooks.lineage import Lineage, harmless
from airflow_provider_robofy.hooks.locations import Location
from airflow_provider_robofy.hooks.metrics import tags_of
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
    """Work that a signal handler can cancel."""

    def cancel(self) -> None:
        """Cancel the work: the thread that runs it gets an exception."""


#: Templated arguments that may render to None: an open window, no metadata, all shards.
_MAY_BE_EMPTY = {"since", "until", "metadata", "shard"}
#: Values of a run outside of Airflow.
_MANUAL: Final[Mapping[str, str | int]] = {"run_id": "manual", "map_index": -1, "try_number": 1}

C = TypeVar("C", bound=Cancellable)


class EndsWhenKilled:
    """Cancel a task's work when Airflow kills the task. List this class before Airflow's own among the bases."""

    #: True once Airflow has killed the task. A loop over chunks checks it before each chunk.
    killed = False

    def on_kill(self) -> None:
        """Cancel all work, also what begins after this call: on Airflow 3 the task goes on for a moment."""
        self.killed = True
        for work in self.__dict__.get("_under_way", ()):
            work.cancel()

    def ending_when_killed(self, work: C) -> C:
        """Return the work, registered so that :meth:`on_kill` cancels it.

        :param work: The work. It is cancelled at once where the task has been killed already.
        :return: The same object.
        """
        self.__dict__.setdefault("_under_way", []).append(work)
        if self.killed:
            work.cancel()
        return work


class RobofyConnected(EndsWhenKilled):
    """Base of operators and sensors: the hook and the client of a Robofy connection."""

    robofy_conn_id: str
    ui_color = "#e7f0ff"

    @cached_property
    def hook(self) -> RobofyHook:
        """Return the hook of the connection."""
        return RobofyHook(self.robofy_conn_id)

    @cached_property
    def client(self) -> RobofyClient:
        """Return the hook's client. It is cancelled when the task is killed."""
        return self.ending_when_killed(self.hook.client)

    def ids(self) -> dict[str, str]:
        """Return ``project_id`` and ``chatbot_id``: the task's own, or the connection's.

        :raises RobofyConfigError: One of them is set nowhere.
        """
        task: Any = self
        return {
            "project_id": self.hook.project_id(task.project_id),
            "chatbot_id": self.hook.chatbot_id(task.chatbot_id),
        }


class RobofyBaseOperator(RobofyConnected, BaseOperator):
    """Base of every Robofy operator: connection, check of templated arguments, and lineage.

    :param robofy_conn_id: Id of the Robofy connection. Default ``robofy_default``.
    """

    def __init__(self, *, robofy_conn_id: str = RobofyHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.robofy_conn_id = robofy_conn_id

    def remember_given(self) -> None:
        """Record which templated arguments were given. Call it at the end of the constructor."""
        self._given = {name for name in self.template_fields if getattr(self, name, None) is not None} - _MAY_BE_EMPTY

    def execute(self, context: Context) -> dict[str, Any]:
        """Do the task's work and return its result. An error that a retry cannot fix fails the task at once.

        :param context: The context that Airflow passes.
        """
        with failing_at_once():
            return self.work(self.checked(context))

    @abstractmethod
    def work(self, context: Context) -> dict[str, Any]:
        """Do the task's work and return its result.

        :param context: The context, as :meth:`checked` returns it.
        """

    def checked(self, context: Context) -> Context:
        """Return the context, after checking that every templated argument rendered to a value.

        In a unit test the context may be empty or a mock. Missing parts are then the operator's own dag_id and task_id,
        and the run id ``manual``.

        :param context: The context that Airflow passes to ``execute``.
        :return: The context, with a ``ti`` in any case.
        :raises RobofyConfigError: An argument's template or XCom has no value; the message names the argument.
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
        defaults: dict[str, str | int] = {**tags_of(self), **_MANUAL}
        facts = {name: getattr(ti, name, None) for name in defaults}
        lacking = {name: one for name, one in defaults.items() if not isinstance(facts[name], type(one))}
        if not lacking:
            return context
        push = getattr(ti, "xcom_push", lambda **_: None)
        return cast("Context", {**given, "ti": SimpleNamespace(**{**facts, **lacking}, xcom_push=push)})

    @cached_property
    def lineage(self) -> Lineage:
        """Return the lineage of the task, empty until it reads or writes."""
        return Lineage(self.hook)

    def report_landed(self, context: Context, manifest: dict[str, Any]) -> None:
        """Report what has landed, to lineage and in the events of the task's outlets.

        :param context: The task's context.
        :param manifest: The manifest.
        """
        self.lineage.landed(manifest)
        with harmless("The events of the task's outlets do not name the file"):
            describe_events(self.outlets, context, manifest)

    def location_of(self, resource: str, project_id: str | None, chatbot_id: str) -> Location:
        """Return the name of an agent's leads, sessions, messages or knowledge, for lineage.

        :param resource: One of :data:`~airflow_provider_robofy.assets.robofy.RESOURCES`.
        :param project_id: The agent's project, or None where it is not known.
        :param chatbot_id: The agent.
        :return: The name for Airflow's assets and for OpenLineage.
        """
        host = urlsplit(self.hook.connection.settings.base_url).netloc
        return Location.of_uri(resource_uri(resource, project_id, chatbot_id, host=host))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:  # noqa: ARG002
        """Return inputs and outputs for OpenLineage, whose provider calls this after success and after failure."""
        return self.lineage.openlineage()


@contextmanager
def failing_at_once() -> Iterator[None]:
    """Turn a permanent error into ``AirflowFailException``, which Airflow does not retry.

    The cause is cut off, because its traceback could show a URL.

    :raises AirflowFailException: The block raised an error that a retry cannot fix.
    """
    try:
        yield
    except RobofyError as error:
        if error.permanent:
            raise AirflowFailException(str(error)) from None
        raise


def read_limit(name: str, value: int, *, least: int = 0) -> int:
    """Return a limit, after checking that it is a whole number.

    :param name: Name of the argument, for the error.
    :param value: The limit that the user gave.
    :param least: Smallest value allowed. Default 0.
    :return: The limit.
    :raises RobofyConfigError: The limit is not a whole number, or is too small.
    """
    if type(value) is not int or value < least:
        raise RobofyConfigError(f"{name}={str(value)[:40]!r} must be a whole number, at least {least}.")
    return value


def read_share(name: str, value: Any) -> float:
    """Return a share, after checking that it is a number from 0 to 1.

    :param name: Name of the argument, for the error.
    :param value: The share that the user gave; a rendered template is text.
    :raises RobofyConfigError: It is anything else.
    """
    try:
        share = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 1:
        raise RobofyConfigError(f"{name}={str(value)[:40]!r} must be a number from 0 to 1, such as 0.2 for a fifth.")
    return share


def run_key(context: Context) -> str:
    """Return the key of a task in its run. A retry and a cleared task have the same key.

    :param context: The task's context.
    :return: For example ``dag/run/task``, or ``dag/run/task/3`` for a mapped task.
    """
    ti = context["ti"]
    mapped = f"/{ti.map_index}" if getattr(ti, "map_index", -1) >= 0 else ""
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}{mapped}"


def landing_store(output_path: str | None, context: Context, *folders: str) -> Store:
    """Return the store of the file in which a task lands its rows.

    :param output_path: Path or URL of the file. None or empty: a file below the landing root.
    :param context: The task's context.
    :param folders: Folders below the landing root: resource, project, agent. Empty ones are left out.
    :return: The store.
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
    """Return ids, which may contain slashes, as one path component that every filesystem accepts.

    A component of more than 200 bytes is cut and gets a hash of the whole name. Most filesystems allow 255 bytes; the
    rest is for file extensions and for the longer name of a temporary file.

    :param names: The ids. A dot joins them.
    :return: The path component, in ASCII.
    """
    whole = full_path_component(*names)
    if len(whole) <= _LONGEST_COMPONENT:
        return whole
    kept = _HALF_ESCAPE.sub("", whole[: _LONGEST_COMPONENT - _HASH_LENGTH - 1])
    return f"{kept}~{sha256(whole.encode()).hexdigest()[:_HASH_LENGTH]}"


def full_path_component(*names: str) -> str:
    """Return ids as one path component, of any length.

    :param names: The ids. A dot joins them.
    :return: The path component, in ASCII.
    """
    encoded = (quote(name, safe=":+=@ ") for name in names)
    return ".".join(one.replace(".", "%2E") if one in {".", ".."} else one for one in encoded)

"""Base class of every Robofy sensor, in poke, reschedule and deferrable mode."""

from __future__ import annotations

import time
from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_robofy.api.errors import RobofyError
from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.base import RobofyConnected, failing_at_once
from airflow_provider_robofy.triggers.base import at_least, default_deferrable, defer
from airflow_provider_robofy.triggers.events import value_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.triggers.base import RobofyWaitTrigger


class RobofyBaseSensor(RobofyConnected, BaseSensorOperator):
    """Wait in poke, reschedule or deferrable mode, with the same result in each.

    A wrong key or id fails the task at once. ``soft_fail`` turns only a timeout into a skip. Without this class, some
    of Airflow's modes would skip the task for a wrong key, and others would not.

    :param robofy_conn_id: Id of the Robofy connection. Default ``robofy_default``.
    :param deferrable: Wait in the triggerer. Default: Airflow's config ``[operators] default_deferrable``.
    """

    def __init__(
        self,
        *,
        robofy_conn_id: str = RobofyHook.default_conn_name,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        given = {**(kwargs.get("default_args") or {}), **kwargs}
        for name in ("poke_interval", "timeout"):
            if name in given:
                kwargs[name] = read_duration(name, given[name]).total_seconds()
        super().__init__(**kwargs)
        self.robofy_conn_id = robofy_conn_id
        self.deferrable = default_deferrable() if deferrable is None else deferrable

    @abstractmethod
    def trigger(self, **waiting: Any) -> RobofyWaitTrigger:
        """Return the trigger that polls as this sensor does.

        :param waiting: The trigger's ``robofy_conn_id``, ``poll_interval`` and ``deadline``.
        """

    @cached_property
    def _trigger(self) -> RobofyWaitTrigger:
        # Poke and reschedule mode use the trigger's poll and its decision, without running it.
        return self.trigger(robofy_conn_id=self.robofy_conn_id, poll_interval=self.poke_interval, deadline=0)

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's signature
        try:
            value = self._trigger.poll_once(self.client, self.hook.connection)
        except RobofyError as error:
            if error.permanent and self.silent_fail and not (self.soft_fail or self.never_fail):
                raise AirflowFailException(str(error)) from None  # the only kind that silent_fail lets pass
            raise
        return PokeReturnValue(is_done=value is not None, xcom_value=value)

    def execute(self, context: Context) -> Any:
        """Poll once, then wait in the sensor's mode."""
        if self.deferrable or self.reschedule:
            self.poke_interval = at_least(self.poke_interval)
        # Around the base class, which would otherwise turn a wrong key into a skip.
        with failing_at_once():
            if not self.deferrable:
                return super().execute(context)
            deadline = time.time() + self.timeout
            try:
                result = self.poke(context)
            except RobofyError as error:
                raise self._skipped(error) from None
            if result:
                return result.xcom_value
            waiting = {"robofy_conn_id": self.robofy_conn_id, "poll_interval": self.poke_interval}
            defer(self, self.trigger(**waiting, deadline=deadline))
        return None  # never: a deferral is an exception

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        with failing_at_once():
            return super().resume_execution(next_method, next_kwargs, context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
        """Return the trigger's result, or raise its error."""
        timeout = AirflowSensorTimeout(f"The sensor has timed out: nothing within {self.timeout:g} seconds.")
        try:
            return value_of(event, on_timeout=timeout)
        except RobofyError as error:
            raise self._skipped(error) from None

    def _skipped(self, error: RobofyError) -> Exception:
        """Return the error, or a skip where the sensor has ``never_fail``, as in the other modes."""
        return AirflowSkipException(f"Skipping due to never_fail: {error}") if self.never_fail else error

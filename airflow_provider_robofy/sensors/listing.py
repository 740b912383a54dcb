"""What waiting for leads and waiting for sessions have in common: all but the resource and its arguments."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.operators.base import read_limit
from airflow_provider_robofy.operators.cursor_store import cursor_state, inlets_with
from airflow_provider_robofy.sensors.base import RobofyBaseSensor

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Asset, Context, PokeReturnValue

    from airflow_provider_robofy.triggers.listing import RobofyNewRowsTrigger


class RobofyNewRowsSensor(RobofyBaseSensor):
    """Wait until an agent has a number of new rows; subclasses say of which resource.

    Its parameters are documented where users read of them: on the subclasses.
    """

    #: The trigger that polls. It names the resource.
    trigger_class: ClassVar[type[RobofyNewRowsTrigger]]

    def __init__(
        self,
        *,
        chatbot_id: str | None = None,
        since: datetime | str | None = None,
        min_count: int = 1,
        cursor: str | Asset | None = None,
        cursor_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if cursor is not None and since is not None:
            raise RobofyConfigError("cursor cannot be combined with since: leave out one of them.")
        if (cursor is None) != (cursor_name is None):
            raise RobofyConfigError(
                "cursor and cursor_name belong together: give both as the task has them that syncs, with a cursor_name "
                "of its own there too."
            )
        self.inlets = inlets_with(cursor, self.inlets)
        self.cursor = cursor
        self.cursor_name = cursor_name
        self._cursor_state: dict[str, Any] | None = None
        self.chatbot_id = chatbot_id
        self.since = since
        self.min_count = read_limit("min_count", min_count, least=1)

    @abstractmethod
    def own_arguments(self) -> dict[str, Any]:
        """Return the trigger's ``project_id``, and its arguments that only this resource has."""

    def trigger(self, **waiting: Any) -> RobofyNewRowsTrigger:
        since = Window.of(self.since, None).since
        return self.trigger_class(
            chatbot_id=self.hook.chatbot_id(self.chatbot_id),
            since=None if since is None else since.isoformat(),
            min_count=self.min_count,
            cursor=self._cursor_state,
            cursor_name=self.cursor_name,
            **self.own_arguments(),
            **waiting,
        )

    def poke(self, context: Context) -> PokeReturnValue:
        if self.cursor is not None:
            trigger = cast("RobofyNewRowsTrigger", self._trigger)
            self._cursor_state = trigger.cursor = cursor_state(self.cursor, context, trigger.cursor_identity)
        return super().poke(context)

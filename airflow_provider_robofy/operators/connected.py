"""What operators and sensors have in common: a Robofy connection, and a call under way that a kill must end."""

from __future__ import annotations

from functools import cached_property

from airflow_provider_robofy.hooks.robofy import RobofyHook


class RobofyConnected:
    """Hold the hook of a task's connection. To stand before Airflow's own class among the bases."""

    robofy_conn_id: str
    ui_color = "#e7f0ff"

    @cached_property
    def hook(self) -> RobofyHook:
        """Return the hook of the connection."""
        return RobofyHook(self.robofy_conn_id)

    def on_kill(self) -> None:
        """End the call under way; every loop sees it and nothing is published."""
        if "hook" in self.__dict__ and "client" in self.hook.__dict__:
            self.hook.client.cancel()

"""The whole state of one fake Robofy account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.emulator import agents, seeded, times
from airflow_provider_robofy.emulator.answers import Answer, ApiError, bad_request, not_found
from airflow_provider_robofy.emulator.knowledge import Knowledge
from airflow_provider_robofy.emulator.pages import PageCache
from airflow_provider_robofy.emulator.settings import SEEDED, Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.emulator.agents import Agent


class World:
    """
    Hold the account: its agents and all they own, and the settings of the moment.

    :param settings: how to make it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.agents: dict[str, Agent] = {}
        for index in range(settings.agents):
            agent = agents.make(settings, index)
            self.agents[agent.chatbot_id] = agent
        self.knowledge = Knowledge()
        self._made = settings.agents
        self._errors = 0
        self._set_up()

    def _set_up(self) -> None:
        self.write: Callable[[int], str | int] = times.writer(self.settings)
        self.cache = PageCache(self.settings.cache_mb * 1024 * 1024)

    def configure(self, changes: dict[str, Any]) -> None:
        """
        Change settings while running; raises `SettingsError` and changes nothing if one is wrong.

        :param changes: new values by name; those that seeded data was made from are refused.
        """
        fixed = SEEDED.intersection(changes)
        if fixed:
            raise SettingsError(f"{', '.join(sorted(fixed))}: data is made from it, so change it by a reset")
        self.settings = self.settings.changed(**changes)
        self._set_up()

    def touch(self) -> None:
        """Forget rendered pages, because a row changed."""
        self.cache.clear()

    @property
    def now(self) -> int:
        """This server's time in seconds since 1970."""
        return times.now(self.settings)

    def create_agent(self, body: dict[str, Any]) -> Agent:
        """
        Make one more agent, without leads or sessions.

        :param body: what it was created with.
        """
        agent = agents.make(self.settings, self._made, created=body, at=self.now)
        self._made += 1
        self.agents[agent.chatbot_id] = agent
        return agent

    def project_row(self) -> dict[str, Any]:
        """Return the project as the API shows one."""
        return {
            "id": self.settings.project,
            "project_id": str(self.settings.project),
            "name": "Example project",
            "website_url": "https://example.com",
            "agents": len(self.agents),
            "created_at": self.write(seeded.BASE - 20_000_000),
        }

    def check_project(self, value: Any) -> None:
        """
        Refuse a project id that is no number, or not this account's.

        :param value: from a path (text) or a body (text or number).
        """
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
            raise bad_request("The project id must be an integer.", "project_id")
        if text.lstrip("0") != str(self.settings.project):
            detail = "The project does not exist or you have no access to it."
            raise not_found(detail, "project_id", "PROJECT_NOT_FOUND")

    def agent(self, chatbot_id: str) -> Agent:
        """
        Return an agent, refusing an id that is not there.

        :param chatbot_id: its id, decoded.
        """
        try:
            return self.agents[chatbot_id]
        except KeyError:
            raise not_found("The chatbot does not exist.", "chatbot_id", "CHATBOT_NOT_FOUND") from None

    def error(self, refusal: ApiError) -> Answer:
        """
        Write a refusal in the error shape whose turn it is.

        :param refusal: what is wrong.
        """
        shape = self.settings.error_shape
        if shape == "alternate":
            shape = "21"[self._errors % 2 == 0]
            self._errors += 1
        return refusal.answer(shape)

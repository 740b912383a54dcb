"""One AI agent of the fake account, with everything that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.emulator import seeded
from airflow_provider_robofy.emulator.leads import LeadBook
from airflow_provider_robofy.emulator.sessions import SessionBook
from airflow_provider_robofy.emulator.words import AGENT_NAMES, LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.emulator.settings import Settings

# Ids stay short for the first agent and never meet those of the next one.
_IDS_PER_AGENT = 10_000_000


@dataclass(slots=True)
class Agent:
    """
    Hold one agent.

    :param chatbot_id: its opaque id.
    :param leads: its leads.
    :param sessions: its conversations.
    :param created_at: when it was made, in seconds since 1970.
    :param fields: what the agent object says of it.
    :param ai_settings: what Agent Settings says, the secret included.
    """

    chatbot_id: str
    leads: LeadBook
    sessions: SessionBook
    created_at: int
    fields: dict[str, Any]
    ai_settings: dict[str, Any] = field(default_factory=dict)

    def row(self, write: Callable[[int], str | int]) -> dict[str, Any]:
        """
        Return it as the API shows an agent.

        :param write: how a time is written.
        """
        return {
            "chatbot_id": self.chatbot_id,
            **self.fields,
            "created_at": write(self.created_at),
            "updated_at": write(self.created_at),
        }


def make(settings: Settings, index: int, *, created: dict[str, Any] | None = None, at: int = seeded.BASE) -> Agent:
    """
    Make one agent with its seeded data.

    :param settings: seed and counts.
    :param index: its number in the account, from 0.
    :param created: the body it was created with; None makes a seeded one. A created agent has no leads yet.
    :param at: when, in seconds since 1970.
    """
    key = seeded.mix(settings.seed, index + 1)
    fields: dict[str, Any] = {
        "project_id": str(settings.project),
        "name": AGENT_NAMES[index % len(AGENT_NAMES)],
        "description": f"Answers visitors of site {index + 1}",
        "type": "website",
        "access": "public",
        "avatar": f"https://cdn.example.com/avatars/{index % 9}.png",
        "language": LANGUAGES[index % len(LANGUAGES)],
        "is_ready": True,
        "usage": {"messages": key % 5000, "documents": key % 40},
    }
    known = set(fields) - {"project_id", "usage"}
    fields.update({name: value for name, value in (created or {}).items() if name in known})
    return Agent(
        chatbot_id=seeded.chatbot_id(settings.seed, index),
        leads=LeadBook(
            key=seeded.mix(key, 1),
            count=0 if created is not None else settings.leads,
            spacing=settings.spacing,
            first_id=10_000 + index * _IDS_PER_AGENT,
        ),
        sessions=SessionBook(
            key=seeded.mix(key, 2),
            count=0 if created is not None else settings.sessions,
            messages=settings.messages,
            spacing=settings.spacing,
            mixed_ids=settings.session_ids == "mixed",
        ),
        created_at=at if created is not None else seeded.BASE - 10_000_000 - index * 86_400,
        fields=fields,
        ai_settings={
            "llm_provider": "openai",
            "llm_model": "gpt-4o-mini",
            "llm_api_key": f"sk-emulated-{seeded.mix(key, 3):016x}{seeded.mix(key, 4):016x}",
            "temperature": 0.2,
            "system_prompt": "Answer kindly and briefly, and only from the documents.",
            "max_tokens": 512,
        },
    )

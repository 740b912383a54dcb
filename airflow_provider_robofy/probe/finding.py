"""One thing that the probe found out: what it is, what it rests on, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Every topic, in the order of the report.
TOPICS: Final[Mapping[str, str]] = {
    "leads": "Leads",
    "sessions": "Inbox sessions",
    "messages": "Messages",
    "other": "Other endpoints",
    "answers": "Answers in general",
}

NOTHING_TO_DO: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Answer one question about the account.

    :param topic: A key of :data:`TOPICS`.
    :param name: What it is about, in a few words; with the topic, the finding's name in JSON.
    :param found: The answer, in a sentence or less.
    :param value: The same for machines: plain JSON.
    :param pages: Answers that it rests on, and ``rows`` within them.
    :param assumed: What the provider takes for granted there.
    :param advice: What to do; empty for nothing.
    :param settings: Extras of the connection that should be what they are not.
    :param open: True where the question stays unanswered.
    """

    topic: str
    name: str
    found: str
    value: Any = None
    pages: int = 0
    rows: int = 0
    assumed: str = ""
    advice: str = NOTHING_TO_DO
    settings: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "topic": self.topic,
            "name": self.name,
            "answered": not self.open,
            "found": self.found,
            "value": self.value,
            "rests_on": {"answers": self.pages, "rows": self.rows},
            "assumed": self.assumed,
            "advice": self.advice,
            "settings": dict(self.settings),
        }


def counted(number: int, noun: str) -> str:
    """Say a number of things."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def kind_of(value: Any) -> str:
    """Name the JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "text"

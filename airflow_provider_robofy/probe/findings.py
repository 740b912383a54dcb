"""What a probe finds: topics, findings, and the questions that they answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Every topic, in the order of the report.
TOPICS: Final = {
    "leads": "Leads",
    "sessions": "Inbox sessions",
    "messages": "Messages",
    "other": "Other endpoints",
    "answers": "Answers in general",
}
SET_PATH: Final = "Set it in the extra endpoints."


@dataclass(frozen=True, slots=True)
class Finding:
    """Answer one question about the account.

    :param found: The answer, in a sentence or less.
    :param value: The same for programs: plain JSON. Default null.
    :param advice: What to do. Default nothing.
    :param settings: Extras of the connection that should be what they are not. Default none.
    :param open: Does the question stay unanswered? Default False.
    :param assumed: What the provider assumes there. Default what the table of questions says.
    :param answers: Answers that it rests on. Default all of the topic; likewise ``rows`` in them.
    :param topic: A key of :data:`TOPICS`.
    :param name: What it is about, in a few words; with the topic, the finding's name in JSON.
    """

    found: str
    value: Any = None
    advice: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False
    assumed: str = ""
    answers: int | None = None
    rows: int | None = None
    topic: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Describe one line of the table of questions.

    :param topics: Keys of :data:`TOPICS` that it is asked of, separated by spaces.
    :param name: What it is about, in a few words.
    :param answer: Takes what was seen of the topic; returns None where the question makes no sense.
    :param assumed: What the provider assumes there. Default nothing.
    """

    topics: str
    name: str
    answer: Callable[[Any], Finding | None]
    assumed: str = "nothing"

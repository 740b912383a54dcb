"""What a probe finds, and how a question becomes a finding."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
    """Ask one thing of a listing, or of answers in general.

    :param name: What it is about, in a few words.
    :param answer: Takes what was seen; returns None where the question makes no sense.
    :param assumed: What the provider assumes there. Default nothing.
    """

    name: str
    answer: Callable[[Any], Finding | None]
    assumed: str = "nothing"


def findings(topic: str, questions: Sequence[Question], seen: Any, answers: int, rows: int) -> Iterator[Finding]:
    """Yield the findings of questions that make sense, with the topic, the name and what they rest on.

    :param topic: A key of :data:`TOPICS`.
    :param questions: What to ask, in the order of the report.
    :param seen: What each question gets.
    :param answers: Answers that a finding rests on, unless it says otherwise.
    :param rows: Likewise the rows in them.
    """
    for question in questions:
        if (found := question.answer(seen)) is not None:
            yield replace(
                found,
                topic=topic,
                name=question.name,
                assumed=found.assumed or question.assumed,
                answers=answers if found.answers is None else found.answers,
                rows=rows if found.rows is None else found.rows,
            )

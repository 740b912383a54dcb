"""What is said of sessions and of the messages in them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.probe.finding import Finding, counted
from airflow_provider_robofy.probe.shapes import NO_ROWS
from airflow_provider_robofy.probe.words import ROLES, word

if TYPE_CHECKING:
    from airflow_provider_robofy.probe.listings import Teller

SESSION_FIELDS = (
    "session_id",
    "last_message_time",
    "last_message",
    "user_profile_name",
    "last_message_direction",
    "website_url",
)
#: Where a message's time, id, text and speaker may stand, as far as anybody can guess.
MESSAGE_TIMES = ("created_at", "timestamp", "time", "sent_at")
MESSAGE_IDS = ("id", "message_id", "_id", "uuid")
MESSAGE_TEXTS = ("message", "text", "content", "body")
_SPEAKERS = frozenset(
    {
        "role", "sender", "direction", "from", "author", "type", "sender_type", "user_type", "message_type", "sent_by",
        "sendertype", "usertype", "messagetype", "sentby", "speaker", "source", "last_message_direction",
    }
)  # fmt: skip


class WordsStudy:
    """Count the words that say who speaks: those that are known, and how many are not."""

    def __init__(self) -> None:
        self.fields: dict[str, Counter[str]] = {}

    def take(self, rows: list[Any]) -> None:
        """Take the rows of a page."""
        for row in rows:
            for name, value in row.items() if isinstance(row, dict) else ():
                if str(name).lower() in _SPEAKERS:
                    said = word(value, ROLES) or ("none" if value is None else "another word")
                    self.fields.setdefault(name, Counter())[said] += 1

    def finding(self, teller: Teller, name: str) -> Finding:
        """Say what was counted."""
        parts, value = [], {}
        for field, words in self.fields.items():
            if set(words) == {"another word"}:
                continue  # a field such as type or source need not be about the speaker at all
            said = teller.names.one(field)
            value[said] = dict(words)
            parts.append(f"{said}: {', '.join(f'{each} ({number:,})' for each, number in words.most_common())}")
        return teller.tell(name, "; ".join(parts) or "no field that is known to say so", value=value, assumed="nothing")


def sessions(teller: Teller, words: WordsStudy, order: str) -> list[Finding]:
    """Say all that is known of sessions, in order."""
    if teller.seen.failure is not None:
        return [teller.path()]
    assumed = "a bare array, or sessions, rows or the only array"
    if teller.seen.trouble == NO_ROWS:
        return [teller.path(), teller.wrapping(assumed)]
    return [
        teller.path(),
        teller.wrapping(assumed),
        teller.page_size(),
        teller.order("sessions_order", order),
        teller.token(),
        teller.end(),
        teller.totals(),
        teller.time_form("last_message_time"),
        teller.ids("session_id"),
        teller.repeated(),
        *teller.fields(SESSION_FIELDS),
        words.finding(teller, "directions"),
    ]


def messages(teller: Teller, words: WordsStudy, conversations: int) -> list[Finding]:
    """Say all that is known of messages, in order.

    :param conversations: Sessions that were looked into.
    """
    if not conversations:
        return [teller.tell("path", "not asked: there is no session to look into")]
    if teller.seen.failure is not None and not teller.study.pages:
        return [teller.path()]
    assumed = "a bare array, or messages, chats, rows or the only array"
    if teller.seen.trouble == NO_ROWS:
        return [teller.path(), teller.wrapping(assumed)]
    ids = teller.study.id_fields
    texts = [name for name in MESSAGE_TEXTS if name in teller.study.fields]
    return [
        teller.path(),
        teller.wrapping(assumed),
        teller.tell(
            "length",
            f"{counted(teller.study.rows, 'message')} in {counted(conversations, 'session')}",
            value={"messages": teller.study.rows, "sessions": conversations},
            assumed="nothing",
        ),
        teller.order("", ""),
        teller.token(),
        teller.end(),
        teller.time_form(),
        teller.tell(
            "message id",
            f"under {', '.join(teller.names.many(ids))}" if ids else "none",
            value=teller.names.many(ids),
            assumed="none: a hash of the row stands for it",
        ),
        teller.tell(
            "text",
            f"under {', '.join(texts)}" if texts else "not under a name that is known",
            value=texts,
            assumed=", ".join(MESSAGE_TEXTS),
        ),
        *teller.fields(()),
        words.finding(teller, "speakers"),
    ]

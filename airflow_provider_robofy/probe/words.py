"""The words that a report may hold: whatever an API answers, nothing else of it is written.

A field's name is a fact of the API, until somebody keys an object by a phone number. So a name is written if it stands
in a closed list, in any spelling, and only counted otherwise. That no value of an account can be in a report does then
not depend on guesses about what looks personal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.endpoints import ASSET_IDS
from airflow_provider_robofy.api.envelopes import TOKEN_NAMES
from airflow_provider_robofy.api.models import Agent, Message, Project
from airflow_provider_robofy.resources import RESOURCES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _aliases(model: Any, field: str) -> tuple[str, ...]:
    return tuple(map(str, model.model_fields[field].validation_alias.choices))


#: Where an id, a time, a text or a speaker is looked for where no field is documented, the likeliest first.
ID_NAMES: Final = {
    "list_agents": _aliases(Agent, "chatbot_id"),
    "list_projects": _aliases(Project, "project_id"),
    "list_linked_assets": ASSET_IDS,
}
MESSAGE_IDS: Final = ("id", "message_id", "_id", "uuid")
MESSAGE_TIMES: Final = _aliases(Message, "created_at")
MESSAGE_TEXTS: Final = _aliases(Message, "text")
SPEAKERS: Final = _set(
    "role sender direction from author type sender_type user_type message_type sent_by speaker source "
    "last_message_direction"
)
#: Names of numbers that count a whole listing.
TOTALS: Final = _set("total totals count total_count total_rows total_records found")

#: Types of form fields, as makers of forms choose among them.
FIELD_TYPES: Final = _set(
    """address boolean button checkbox choice city color company country currency date datetime dropdown email file
    group hidden image integer ip link list location longtext message mobile multi multiselect name number password
    phone radio range rating select signature slider string tel telephone text textarea time toggle url website zip"""
)
#: Who speaks in a conversation, and which way a message went.
ROLES: Final = _set(
    """admin agent ai assistant bot chatbot client contact customer function guest human inbound incoming lead operator
    outbound outgoing owner received sent support system tool user visitor"""
)
#: How a crawl goes.
STATUSES: Final = _set(
    """active aborted cancelled canceled complete completed crawled crawling done error failed failure finished idle
    initiated linked none partial pending processed processing queued ready running scheduled started starting stopped
    success succeeded trained training unknown uploaded"""
)
#: Codes of errors, as they are documented or as this provider reads them.
CODES: Final = _set(
    """BAD_REQUEST UNAUTHORIZED FORBIDDEN NOT_FOUND PROJECT_NOT_FOUND CHATBOT_NOT_FOUND AGENT_NOT_FOUND
    SESSION_NOT_FOUND CRAWL_NOT_FOUND METHOD_NOT_ALLOWED TOO_MANY_REQUESTS RATE_LIMIT RATE_LIMITED RATE_LIMIT_EXCEEDED
    INTERNAL_SERVER_ERROR SERVICE_UNAVAILABLE"""
)

#: Names of Robofy's documentation.
_DOCUMENTED: Final = _set(
    """access answer asset_id asset_url avatar chatbot_id code columns content crawl_mode created_at data description
    detail details error exclude_urls field field_name field_type field_value file_name include_urls is_main_website
    is_ready is_webpage language leads linkage_id llm_api_key llm_source max_crawl_depth max_crawl_pages message
    metadata name pid platform project_id query readiness report rows run_id session_id sessions source_platform
    start_urls started_at status title type updated_at url usage use_sitemap user_context vector_provider"""
)
#: Names that the provider and the probe look for around rows, in listings that are not documented.
_AROUND: Final = _set(
    """agents assets chatbots chats continuation continuation_token conversations cursor has_more has_next items limit
    linked_assets links messages meta more next next_cursor next_page offset page page_size page_token pages pagination
    paging per_page projects result results state success threads time_zone timezone tz"""
)
_NAMES: Final = frozenset(
    {
        *_DOCUMENTED, *_AROUND, *TOTALS, *SPEAKERS, *TOKEN_NAMES, *MESSAGE_IDS, *MESSAGE_TIMES, *MESSAGE_TEXTS,
        *(name for names in ID_NAMES.values() for name in names),
        *_aliases(Agent, "name"), *_aliases(Project, "name"),
        *(name for resource in RESOURCES.values() for name in resource.known),
    } - {"_id"}
)  # fmt: skip
_WORD_ENDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|-")
_LONGEST_NAME: Final = 60
_ODD: Final = re.compile(r"\d{4}|@|//")
MOST_SHOWN: Final = 40


def snake(name: str) -> str:
    """Return a name in the spelling of the lists here: ``last_message_time`` for ``lastMessageTime``.

    :param name: Name of a JSON field.
    """
    return _WORD_ENDS.sub("_", name).lower()


def known(name: str) -> bool:
    """Return whether a name stands in the list, in any spelling.

    :param name: Name of a JSON field.
    """
    return snake(name) in _NAMES


def word(value: Any, among: frozenset[str]) -> str | None:
    """Return a value in lower case if it is one of a list of words, else None.

    :param value: Anything.
    :param among: The words, in lower case.
    """
    text = value.strip().lower() if isinstance(value, str) else None
    return text if text in among else None


def counted(number: int, noun: str) -> str:
    """Return a number of things, such as ``1,200 leads``.

    :param number: How many.
    :param noun: What, in the singular.
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def with_counts(counts: Counter[str]) -> str:
    """Return words with how often each was there, the most frequent first, such as ``text (12), none (1)``.

    :param counts: Words and how often each was there.
    """
    return ", ".join(f"{one} ({number:,})" for one, number in counts.most_common())


def kind_of(value: Any) -> str:
    """Return the JSON type of a value: null, boolean, number, array, object or text.

    :param value: A decoded value.
    """
    kinds = {type(None): "null", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}
    return kinds.get(type(value), "text")


@dataclass(frozen=True, slots=True)
class Names:
    """Write names of fields: those that are known, and how many others there are.

    :param reveal: Write the others too, as far as they look like names. Default False.
    """

    reveal: bool = False

    def shows(self, name: str) -> bool:
        """Return whether a name is written.

        :param name: Name of a JSON field.
        """
        if known(name):
            return True
        # On demand, but never what a number, an address or a whole sentence was made the name of.
        return self.reveal and 0 < len(name) <= _LONGEST_NAME and name.isprintable() and not _ODD.search(name)

    def path(self, names: Iterable[str]) -> str:
        """Return the path to a field, such as ``data.report.rows``; ``?`` stands for a name that is not written.

        :param names: Names of the objects from the outermost on, and of the field.
        """
        return ".".join(name if self.shows(name) else "?" for name in names)

    def many(self, names: Iterable[str]) -> list[str]:
        """Return the names that are written, in the order given, 40 at most, and at the end how many others there are.

        :param names: Names of JSON fields.
        """
        every = list(names)
        shown = [name for name in every if self.shows(name)][:MOST_SHOWN]
        left = len(every) - len(shown)
        return [*shown, f"{left} whose {'name is' if left == 1 else 'names are'} not shown"] if left else shown

"""One call of the API as a value: what to send and how to read what comes back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, quote_plus, urlencode

from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_robofy.api.body import Body

T = TypeVar("T")

_DEFAULTS = {"project_id", "chatbot_id"}
#: Shorter texts of a body are words such as ``web``, and taking them out would leave no sentence to read.
_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """Describe one request, its answer's meaning and whether it may be sent twice.

    :param endpoint: Name of the endpoint; the extra ``endpoints`` replaces its path by this name.
    :param method: HTTP method.
    :param template: Path with ``{placeholders}``; logs and errors name this and never the filled-in path.
    :param path: Placeholder values. They are percent-encoded, slashes included: agent ids may hold any character.
    :param query: Query parameters; those that are None are left out.
    :param json: Body to send as JSON, or None for no body.
    :param body: Body that is sent as a stream, instead of ``json``.
    :param read: Turns the decoded answer into what the caller wants; raises ValueError where its shape is foreign.
    :param repeatable: May the call be sent again when its answer was lost? True for what only reads.
    :param own_status: Does the answer describe something that has a status of its own, such as a crawl, a document or
        an agent? Then a status word in it is no failure of the call. Default False.
    """

    endpoint: str
    method: str
    template: str
    path: Mapping[str, object] = field(default_factory=dict, repr=False)
    query: Mapping[str, object] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    body: Body | None = field(default=None, repr=False)
    read: Callable[[Any], T]
    repeatable: bool = True
    own_status: bool = False

    @property
    def title(self) -> str:
        """Name the call as Robofy's support knows it, without an id in it."""
        return f"{self.endpoint} ({self.method} {self.template})"

    @property
    def fields(self) -> Any:
        """Return what the body says, without the file in it."""
        return self.json if self.body is None else self.body.fields

    def target(self, template: str | None = None) -> str:
        """Return path and query as they go over the wire.

        :param template: The path template that a connection sets in place of the built-in one.
        :raises RobofyConfigError: A value for a placeholder is empty; an empty one would address another endpoint.
        """
        for name, value in self.path.items():
            if value is None or not str(value).strip():
                extra = f", or set the connection's extra '{name}'" if name in _DEFAULTS else ""
                raise RobofyConfigError(f"{name} is empty: give it to the operator or hook{extra}.")
            if str(value) in {".", ".."}:
                raise RobofyConfigError(f"{name} is {value!r}, which would address another path.")
        try:
            path = (template or self.template).format_map({k: quote(str(v), safe="") for k, v in self.path.items()})
            query = urlencode({k: v for k, v in self.query.items() if v is not None})
        except KeyError as name:
            raise RobofyConfigError(
                f"The path template of {self.endpoint} has the placeholder {name}, for which this call has no value."
            ) from None
        except UnicodeEncodeError:
            raise RobofyConfigError("An id or parameter holds half a character, which cannot be sent.") from None
        return f"{path}?{query}" if query else path

    def scrub(self, text: str) -> str:
        """Take the values of this call out of a text that Robofy wrote.

        A WhatsApp session id is a phone number, and an error may well repeat the id it was asked for.
        """
        words = {str(value) for value in (*self.path.values(), *self.query.values()) if value is not None}
        words.update(word for word in _texts(self.fields) if len(word) >= _SHORTEST_SECRET)
        forms = {form for word in words for form in (word, word.lstrip("+"), *_encoded(word)) if form}
        forms = {form for form in forms if len(form) <= len(text)}
        if not forms:
            return text
        # The longest first: an id may hold another one.
        known = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
        return re.sub(known, "...", text, flags=re.IGNORECASE)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text of a body."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _encoded(word: str) -> tuple[str, ...]:
    """Return how a word looks in a URL that an error repeats."""
    return quote(word, safe="", errors="replace"), quote(word, errors="replace"), quote_plus(word, errors="replace")

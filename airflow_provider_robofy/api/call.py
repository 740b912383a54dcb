"""One call of the API as a value: what to send and how to read what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """Describe one request, its answer's meaning and whether it may be sent twice.

    :param endpoint: Name of the endpoint; the extra ``endpoints`` replaces its path by this name.
    :param method: HTTP method.
    :param template: Path with ``{placeholders}``; logs and errors name this and never the filled-in path.
    :param path: Placeholder values. They are percent-encoded, slashes included: agent ids may hold any character.
    :param query: Query parameters; those that are None are left out.
    :param json: Body to send as JSON, or None for no body.
    :param read: Turns the decoded answer into what the caller wants; raises ValueError where its shape is foreign.
    :param repeatable: May the call be sent again when its answer was lost? True for what only reads.
    """

    endpoint: str
    method: str
    template: str
    path: Mapping[str, object] = field(default_factory=dict, repr=False)
    query: Mapping[str, object] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    read: Callable[[Any], T]
    repeatable: bool = True

    @property
    def title(self) -> str:
        """Name the call as Robofy's support knows it, without an id in it."""
        return f"{self.endpoint} ({self.method} {self.template})"

    def target(self, template: str | None = None) -> str:
        """Return path and query as they go over the wire.

        :param template: The path template that a connection sets in place of the built-in one.
        :raises RobofyConfigError: A value for a placeholder is empty; an empty one would address another endpoint.
        """
        for name, value in self.path.items():
            if value is None or not str(value).strip():
                raise RobofyConfigError(
                    f"{name} is empty: give it to the operator or hook, or set the connection's extra '{name}'."
                )
        path = (template or self.template).format_map({k: quote(str(v), safe="") for k, v in self.path.items()})
        query = urlencode({k: v for k, v in self.query.items() if v is not None})
        return f"{path}?{query}" if query else path

    def scrub(self, text: str) -> str:
        """Take the values of this call out of a text that Robofy wrote.

        A WhatsApp session id is a phone number, and an error may well repeat the id it was asked for.
        """
        for value in (*self.path.values(), *self.query.values()):
            if value is not None and (word := str(value)):
                text = text.replace(word, "...")
        return text

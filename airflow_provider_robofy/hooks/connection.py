"""Read the fields of a Robofy connection, and check them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlsplit

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.settings import Settings, base_url
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.privacy import PrivacyPolicy, check_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from airflow_provider_robofy.resources import Resource

log = logging.getLogger(__name__)

ORDERS: Final = ("unknown", "newest_first")


@dataclass(frozen=True, slots=True, kw_only=True)
class RobofyConnection:
    """The checked fields of a connection.

    :param settings: Settings of the client: host, key, timeouts and limits.
    :param times: Reader for the API's timestamps, in the connection's time zone.
    :param project_id: Project of every operator that names none, or None.
    :param chatbot_id: Agent of every operator that names none, or None.
    :param leads_order: Order of the account's listing of leads: ``unknown`` or ``newest_first``. Default ``unknown``.
    :param sessions_order: The same for sessions.
    :param pseudonym_secret: Key of the HMAC that replaces personal data, or None.
    :param privacy: Privacy rules of every fetch operator: field to ``keep``, ``drop`` or ``hash``. Default none.
    """

    settings: Settings
    times: TimeReader
    project_id: str | None = None
    chatbot_id: str | None = None
    leads_order: str = "unknown"
    sessions_order: str = "unknown"
    pseudonym_secret: str | None = field(default=None, repr=False)
    privacy: Mapping[str, str] = field(default_factory=dict)

    def __reduce__(self) -> NoReturn:
        """Raise, because a pickle would store both keys in readable form.

        :raises TypeError: Always.
        """
        raise TypeError(
            "A RobofyConnection contains the API key and the pseudonym secret, so it cannot be pickled. Pass the "
            "connection's id on, and read the connection where it is used."
        )

    def __copy__(self) -> Self:
        return self  # immutable

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def privacy_policy(
        self, resource: Resource, own: Mapping[str, str] | None, *, of_sessions: bool = False
    ) -> PrivacyPolicy | None:
        """Return the privacy policy for rows of a resource.

        :param resource: The resource of the rows.
        :param own: The operator's rules, already checked. They are added to the connection's rules and never switch
            those off.
        :param of_sessions: Do the rows come with the session that they were read of? Default False.
        :return: The policy, or None where there are no rules.
        :raises RobofyConfigError: The rules contradict each other, or need a ``pseudonym_secret``.
        """
        rules = {**self.privacy, **(own or {})}
        if not rules:
            return None
        return PrivacyPolicy(rules, self.pseudonym_secret, resource, own or (), of_sessions=of_sessions)


def read_connection(
    *, host: str | None, password: str | None, extra: Any, user_agent: str, port: int | None = None
) -> RobofyConnection:
    """Read a connection's fields.

    :param host: Base URL or bare host. Empty: the public API.
    :param password: The API key.
    :param extra: The connection's extra, a dictionary or None. Unknown names are logged as a warning, and their values
        are not used.
    :param user_agent: Value of the ``User-Agent`` header.
    :param port: Port, where the host names none, as in ``robofy://:key@host:8443``. None or 0: none.
    :return: The checked fields.
    :raises RobofyConfigError: A field cannot be used; the message names it.
    """
    if not isinstance(extra, dict | None):
        raise RobofyConfigError(
            f'Connection field extra must be a JSON object, for example {{"project_id": "24017"}}, not '
            f"{type(extra).__name__}."
        )
    given = {name: value for name, value in (extra or {}).items() if value is not None and value != ""}
    if strangers := sorted(given.keys() - _EXTRAS.keys()):
        log.warning(
            "The Robofy connection has unknown extras, which are ignored: %s. Known are %s.",
            ", ".join(f"{name} (now {_RENAMED[name]})" if name in _RENAMED else name for name in strangers),
            ", ".join(_EXTRAS),
        )
    values = {name: read(name, given[name]) for name, read in _EXTRAS.items() if name in given}
    timezone = values.pop("timezone", "UTC")
    connection = {name: values.pop(name) for name in _OURS if name in values}
    return RobofyConnection(
        settings=Settings(
            api_key=(password or "").strip(), base_url=base_url(_with_port(host, port)), user_agent=user_agent, **values
        ),
        times=TimeReader(timezone),
        **connection,
    )


def check_extra(text: str | None) -> None:
    """Raise if the text of a connection's extra is not JSON.

    :param text: The extra as it is stored. None or empty: no extra.
    :raises RobofyConfigError: The text is not JSON. The message does not repeat it, because it can contain a secret.
    """
    if not text or not text.strip():
        return
    try:
        codec.loads(text)
    except ValueError:
        raise RobofyConfigError(
            'Connection field extra is not JSON. Write a JSON object, for example {"project_id": "24017"}.'
        ) from None


def _with_port(host: str | None, port: int | None) -> str | None:
    if not (host and host.strip() and port):
        return host
    if "://" not in host and ":" not in host:
        host = f"{host.strip()}:{port}"
    url = base_url(host)
    return url if urlsplit(url).port is not None else f"{url}:{port}"


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RobofyConfigError(f"Connection extra {name} must be text.")
    return str(value).strip()


def _order(name: str, value: Any) -> str:
    if value not in ORDERS:
        raise RobofyConfigError(f"Connection extra {name} must be one of {', '.join(ORDERS)}, not {str(value)[:40]!r}.")
    return str(value)


def _number(name: str, value: Any) -> float:
    try:
        return float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise RobofyConfigError(f"Connection extra {name} must be a number, not {str(value)[:40]!r}.") from None


def _whole_number(name: str, value: Any) -> int:
    number = _number(name, value)
    if not number.is_integer():
        raise RobofyConfigError(f"Connection extra {name} must be a whole number, not {number:g}.")
    return int(number)


def _object(name: str, value: Any, of: str = "endpoint name to path template") -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = codec.loads(value)
        except ValueError:
            raise RobofyConfigError(f"Connection extra {name} is not JSON.") from None
    if not isinstance(value, dict):
        raise RobofyConfigError(f"Connection extra {name} must be an object: {of}.")
    return value


def _rules(name: str, value: Any) -> dict[str, str]:
    return check_rules(_object(name, value, "field to keep, drop or hash"), f"Connection extra {name}")


#: Every extra that is read, with the function that checks it.
_EXTRAS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "project_id": _text,
    "chatbot_id": _text,
    "timezone": _text,
    "leads_order": _order,
    "sessions_order": _order,
    "connect_timeout": _number,
    "read_timeout": _number,
    "total_timeout": _number,
    "max_attempts": _whole_number,
    "max_response_mb": _number,
    "max_parallel_pages": _whole_number,
    "requests_per_minute": _number,
    "endpoints": _object,
    "pseudonym_secret": _text,
    "privacy": _rules,
}
#: Extras of earlier versions, with their new names.
_RENAMED: Final = {"pseudonym_key": "pseudonym_secret"}
#: Extras for :class:`RobofyConnection`; the others are for the client's settings.
_OURS: Final = ("project_id", "chatbot_id", "leads_order", "sessions_order", "pseudonym_secret", "privacy")

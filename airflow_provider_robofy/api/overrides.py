"""Paths and bodies that a connection sets in place of the built-in ones: checked, and filled in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.endpoints import ASSET_IDS, ENDPOINTS, is_path
from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
#: What the path and the body of a delink may fill in.
DELINK_IDS: Final = ("project_id", "chatbot_id", *ASSET_IDS)


def check_override(name: str, template: object) -> None:
    """Check a path template that a connection sets in place of a built-in one.

    :param name: Endpoint name, a key of :data:`ENDPOINTS`.
    :param template: Path that starts with one ``/``, without host, query or ``..``; placeholders as in the built-in.
        For ``delink_asset`` also ``{"path": ..., "body": {...}}``, both with :data:`DELINK_IDS` as placeholders.
    :raises RobofyConfigError: It is anything else; the message names the endpoint.
    """
    field = f"Connection extra endpoints, {name!r}"
    if name not in ENDPOINTS:
        raise RobofyConfigError(f"{field}: no such endpoint. Known are {', '.join(sorted(ENDPOINTS))}.")
    known = set(_PLACEHOLDER.findall(ENDPOINTS[name][1]))
    if name == "delink_asset" and isinstance(template, dict):
        known = set(DELINK_IDS)
        if template.keys() != {"path", "body"}:
            raise RobofyConfigError(f'{field}: give a path, or an object with "path" and "body" and nothing else.')
        _check_delink_body(field, template["body"])
        template = template["path"]
    if not isinstance(template, str) or not is_path(template):
        raise RobofyConfigError(
            f"{field}: a path template must start with a single '/', and hold no host, query or '..'."
        )
    if strangers := set(_PLACEHOLDER.findall(template)) - known:
        raise RobofyConfigError(
            f"{field}: unknown placeholder {', '.join(sorted(strangers))}; "
            f"this endpoint fills in {', '.join(sorted(known)) or 'none'}."
        )


def _check_delink_body(field: str, body: object) -> None:
    """Check the body of a delink: a body that names no asset might delink all of them."""
    names: set[str] = set()
    in_keys: set[str] = set()
    for text, is_key in _texts(body):
        (in_keys if is_key else names).update(_PLACEHOLDER.findall(text))
    if not isinstance(body, dict) or not names & set(ASSET_IDS):
        raise RobofyConfigError(
            f'{field}: "body" must be an object that uses {{linkage_id}} or {{asset_id}}; a body that names no asset '
            "could delink all of them."
        )
    if strangers := in_keys | (names - set(DELINK_IDS)):
        raise RobofyConfigError(
            f"{field}: unknown placeholder {', '.join(sorted(strangers))} in the body; values may have "
            f"{', '.join(DELINK_IDS)}, and names of fields none."
        )


def _texts(value: object) -> Iterator[tuple[str, bool]]:
    """Yield every text of a JSON value, and whether it is the name of a field."""
    if isinstance(value, str):
        yield value, False
    elif isinstance(value, dict):
        yield from ((str(name), True) for name in value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _texts(one)


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Return a body with its placeholders filled in.

    :param template: The body as the connection has it, such as ``{"link": "{linkage_id}"}``.
    :param values: Values by placeholder. A text that is nothing but a placeholder becomes the value itself, so that a
        number stays a number.
    :return: The body, such as ``{"link": 6548}``.
    """
    if isinstance(template, dict):
        return {name: fill(inner, values) for name, inner in template.items()}
    if isinstance(template, list):
        return [fill(inner, values) for inner in template]
    if not isinstance(template, str):
        return template
    whole = _PLACEHOLDER.fullmatch(template)
    return values[whole[1]] if whole else _PLACEHOLDER.sub(lambda found: str(values[found[1]]), template)


def placeholders(body: object) -> set[str]:
    """Return the names of the placeholders in a body.

    :param body: The body as the connection has it.
    """
    return {name for text, _ in _texts(body) for name in _PLACEHOLDER.findall(text)}

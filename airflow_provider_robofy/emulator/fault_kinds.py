"""Make faults from their names and options, as the command line, the control API and Python code give them."""

from __future__ import annotations

import types
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from airflow_provider_robofy.emulator import faults, row_faults
from airflow_provider_robofy.emulator.faults import Fault, FaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: dict[str, type[Fault]] = {
    each.kind: each
    for each in (
        faults.Status, faults.RateLimit, faults.Html, faults.NotJson, faults.WrongShape, faults.Redirect,
        faults.Delay, faults.Drop, faults.Truncate, faults.Trickle, faults.Endless,
        row_faults.DuplicateRows, row_faults.ChangedRows, row_faults.Disorder, row_faults.MalformedRows,
        row_faults.TokenLoop, row_faults.TokenUnknown, row_faults.MissingList,
    )
}  # fmt: skip

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def build(kind: str, options: Mapping[str, Any]) -> Fault:
    """
    Make one fault; raises `FaultError` with what is wrong.

    :param kind: its name.
    :param options: its options by name; text is read as the type that the option has.
    """
    made = KINDS.get(kind)
    if made is None:
        raise FaultError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")
    hints = get_type_hints(made)
    known = [option.name for option in fields(made) if option.init]
    for name in options:
        if name not in known:
            raise FaultError(f"{kind}: unknown option {name!r}; known: {', '.join(known)}")
    return made(**{name: _value(f"{kind}: {name}", value, hints[name]) for name, value in options.items()})


def parse(text: str) -> Fault:
    """
    Make a fault from the command line's `KIND[:key=value,...]`; raises `FaultError`.

    :param text: such as `status:status=503,endpoint=list_leads,times=2`.
    """
    kind, _, rest = text.partition(":")
    options = {}
    for pair in filter(None, rest.split(",")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise FaultError(f"{kind}: {pair!r} is not key=value")
        options[name.strip()] = value
    return build(kind.strip(), options)


def _value(name: str, value: Any, hint: Any) -> Any:
    choices = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None or value == "none":
        if type(None) in choices:
            return None
        raise FaultError(f"{name} cannot be none")
    wanted = choices[0]
    if wanted is bool:
        found = value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower())
        if found is None:
            raise FaultError(f"{name} must be true or false, not {value!r}")
        return found
    if wanted is str:
        if isinstance(value, str):
            return value
        raise FaultError(f"{name} must be text, not {value!r}")
    try:
        if isinstance(value, bool) or (wanted is int and isinstance(value, float)):
            raise ValueError(value)  # noqa: TRY301 - joins what int() raises
        return wanted(value)
    except (TypeError, ValueError):
        number = "a whole number" if wanted is int else "a number"
        raise FaultError(f"{name} must be {number}, not {value!r}") from None

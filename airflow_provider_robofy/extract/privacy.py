"""What becomes of personal data before a row lands: a policy of rules, by the name or type of a field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.pseudonyms import Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from logging import Logger

KEEP: Final = "keep"
DROP: Final = "drop"
HASH: Final = "hash"
ACTIONS: Final = (KEEP, DROP, HASH)

SESSION_ID: Final = "session_id"
#: Under which the hash of a session's id lands beside the id, which is needed to ask for its messages.
SESSION_KEY: Final = "_session_key"

#: What rows cannot do without, and the actions that leave them that. ``*`` is not for these.
_NEEDED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "leads": {"id": (KEEP, HASH), "created_at": (KEEP,)},
    "sessions": {"last_message_time": (KEEP,)},
}
_OF_SESSIONS: Final = ("sessions", "messages")
_PAST: Final = {KEEP: "kept", DROP: "dropped", HASH: "hashed"}

_ENTRY: Final = frozenset({"field_name", "field_type", "field_value"})
_NOTHING: Final = object()
#: An id is hashed as it is: trimmed and case-folded, two could become one, and a row be lost.
_HASH_ID: Final = "hash id"
_ANY: Final = "*"
_TYPE: Final = "type:"
#: Shorter keys are found by trying.
_SHORTEST_KEY: Final = 16
#: Names beyond so many are looked up anew each time, so that made-up ones cannot fill the memory.
_REMEMBERED: Final = 4096


def check_rules(rules: Any, where: str) -> dict[str, str]:
    """Return the rules of a policy in one form, or say what is wrong with them.

    :param rules: Field to action.
    :param where: The argument or setting they are from, for the error.
    :raises RobofyConfigError: They are no rules.
    """
    if not hasattr(rules, "items"):
        raise RobofyConfigError(f'{where} must be an object of rules such as {{"ip_address": "drop"}}.')
    checked: dict[str, str] = {}
    for field, action in rules.items():
        name = _folded(field) if isinstance(field, str) else ""
        parent, dot, child = name.partition(".")
        if not parent or (dot and child in {"", _TYPE}):
            raise RobofyConfigError(f"{where}: {field!r} names no field.")
        if action not in ACTIONS:
            raise RobofyConfigError(f"{where}: the action of {field!r} must be one of {', '.join(ACTIONS)}.")
        if name == SESSION_ID and action == DROP:
            raise RobofyConfigError(
                f"{where}: {SESSION_ID} can be kept or hashed, but not dropped: messages belong to their session by it."
            )
        if checked.setdefault(name, action) != action:
            raise RobofyConfigError(f"{where} has two actions for {name!r}; upper and lower case are the same.")
    return checked


class PrivacyPolicy:
    """Apply a policy to the rows of one resource.

    Usage::

        policy = PrivacyPolicy({"ip_address": "drop", "lead_data.email": "hash", "lead_data.*": "drop"}, key, "leads")
        row = policy.land(row)

    A rule names a field of the row (``ip_address``), a field within one (``lead_data.email``, by its ``field_name`` or,
    in an object, its key), or a form field's type (``lead_data.type:email``). ``*`` and ``lead_data.*`` are for what no
    rule names. A name counts before a type, a type before ``*``. Names are compared trimmed and without case.

    Sessions and messages are called by a hash of the session's id, unless a rule says ``keep``. Sessions land with the
    id all the same, since their messages are asked for by it; the hash is beside it as ``_session_key``.

    :param rules: As :func:`check_rules` returns them.
    :param pseudonym_key: Key of the hash, or None.
    :param resource: ``leads``, ``sessions`` or ``messages``.
    :param own: Rules that were given for this task; one that meets no field is warned about.
    :raises RobofyConfigError: A rule cannot be kept, or leaves open what becomes of a new form field.
    """

    def __init__(
        self, rules: Mapping[str, str], pseudonym_key: str | None, resource: str, own: Iterable[str] = ()
    ) -> None:
        self.rules = dict(rules)
        self._resource = resource
        self._own = frozenset(own)
        for field, allowed in _NEEDED.get(resource, {}).items():
            if self.rules.setdefault(field, KEEP) not in allowed:
                raise RobofyConfigError(
                    f"privacy: {field} of {resource} must be {' or '.join(_PAST[one] for one in allowed)}, because "
                    "rows are told apart, or put in time, by it."
                )
        if resource in _OF_SESSIONS:
            self.rules.setdefault(SESSION_ID, HASH)
        self._adds_key = resource == "sessions" and self.rules[SESSION_ID] == HASH
        #: Fields that this adds to a row.
        self.added = frozenset({SESSION_KEY} if self._adds_key else ())
        # What becomes of a field, by its name as it came: looked up once, not once a row.
        self._plan: dict[str, _Rules | str] = {}
        self._children: dict[str, _Rules] = {}
        top: dict[str, str] = {}
        for name, action in self.rules.items():
            parent, dot, child = name.partition(".")
            if dot:
                self._children.setdefault(parent, _Rules()).add(child, action, name)
            else:
                top[name] = action
        for parent, children in self._children.items():
            if children.fallback is None:
                # What the whole field is to become is an answer too.
                children.fallback = top.get(parent)
            if children.fallback is None:
                raise RobofyConfigError(
                    f"privacy names fields of {parent}, but does not say what becomes of others, which somebody may "
                    f"add to the form tomorrow. Add {f'{parent}.{_ANY}'!r} with keep, drop or hash."
                )
        self._top = _Rules()
        for name, action in top.items():
            is_id = name == SESSION_ID or (resource == "leads" and name == "id")
            self._top.add(name, _HASH_ID if is_id and action == HASH else action, name)
        self._pseudonyms = _pseudonyms(self.rules, pseudonym_key)

    @property
    def unmet(self) -> list[str]:
        """Return the rules that no field has met so far, but for ``*``. One of them may be misspelt."""
        met = self._top.met.union(*(children.met for children in self._children.values()))
        with_children = {parent for parent, children in self._children.items() if children.seen}
        return sorted(
            name for name in self.rules if name not in met | with_children and name.rpartition(".")[2] != _ANY
        )

    def land(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what lands of a row."""
        landed = self.apply(row)
        if self._adds_key:
            landed[SESSION_ID] = session_id = row[SESSION_ID]
            landed[SESSION_KEY] = self._exact(session_id)
        return landed

    def apply(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what the rules leave of a row."""
        result: dict[str, Any] = {}
        plan = self._plan
        for field, value in row.items():
            what = plan.get(field) or self._look_up(field)
            if what == KEEP:
                result[field] = value
            elif what == HASH:
                result[field] = self.hash(value)
            elif what == _HASH_ID:
                result[field] = self._exact(value)
            elif not isinstance(what, str):
                kept = self._within(value, what)
                if kept is not _NOTHING:
                    result[field] = kept
        return result

    def _look_up(self, field: str) -> _Rules | str:
        what: _Rules | str
        children = self._children.get(_folded(field))
        if children is None:
            what = self._top.action(field)
        else:
            children.seen = True
            what = children
        if len(self._plan) < _REMEMBERED:
            self._plan[field] = what
        return what

    def rejected(self, row: Any) -> Any:
        """Return what may be kept of a row that cannot be understood: nothing of one whose fields have no names."""
        if type(row) is dict:
            return self.apply(row)
        return f"withheld by the privacy policy: a {type(row).__name__}, which has no fields"

    def session(self, session_id: str) -> str:
        """Return how a session may be called in what lands of it."""
        return session_id if self.rules[SESSION_ID] == KEEP else self._exact(session_id)

    def hash(self, value: Any) -> str | None:
        """Return what stands for a value."""
        if self._pseudonyms is None:  # then no rule asks for it
            raise AssertionError
        return self._pseudonyms.full(value)

    def _exact(self, value: Any) -> Any:
        if self._pseudonyms is None:
            raise AssertionError
        if isinstance(value, str | int) and not isinstance(value, bool):
            return self._pseudonyms.exact(str(value))
        return self.hash(value)

    def report(self, log: Logger, rows: int) -> None:
        """Say which rules have met no field of so many rows: a misspelt one protects nothing."""
        unmet = self.unmet if rows else []
        # Every row has its fields, but not every lead has filled in every field of a form.
        loud = [name for name in unmet if name in self._own and "." not in name]
        quiet = [name for name in unmet if name not in loud]
        if loud:
            log.warning(
                "privacy: no field of these %s %s is called %s. Is a name misspelt? What it was meant for has landed "
                "as the other rules say.",
                rows,
                self._resource,
                " or ".join(map(repr, loud)),
            )
        if quiet:
            log.info("privacy: rules that no field of these %s has met: %s", self._resource, ", ".join(quiet))

    def _within(self, value: Any, rules: _Rules) -> Any:
        if type(value) is list:
            return [kept for one in value if (kept := self._entry(one, rules)) is not _NOTHING]
        if type(value) is dict:
            return self._members(value, rules)
        return self._done(value, rules.fallback)

    def _entry(self, entry: Any, rules: _Rules) -> Any:
        if type(entry) is not dict:
            return self._done(entry, rules.fallback)
        if "field_name" not in entry and _ENTRY.isdisjoint(entry):
            return self._members(entry, rules)
        action = rules.action(entry.get("field_name"), entry.get("field_type"))
        if action == DROP:
            return _NOTHING
        if action == KEEP:
            return entry
        # Not what else may stand there: it could say the value again.
        kept = {name: of for name, of in entry.items() if name in _ENTRY}
        return {**kept, "field_value": self.hash(entry.get("field_value"))}

    def _members(self, value: dict[str, Any], rules: _Rules) -> dict[str, Any]:
        done = self._done
        return {name: kept for name, of in value.items() if (kept := done(of, rules.action(name))) is not _NOTHING}

    def _done(self, value: Any, action: str | None) -> Any:
        if action == HASH:
            return self.hash(value)
        return value if action == KEEP else _NOTHING


class _Rules:
    """Hold the rules for the fields of one object."""

    def __init__(self) -> None:
        self.fallback: str | None = None
        self.seen = False
        #: Full names of the rules that a field has met.
        self.met: set[str] = set()
        self._by_name: dict[str, tuple[str, str]] = {}
        self._by_type: dict[str, tuple[str, str]] = {}
        self._found: dict[tuple[str, str | None], str] = {}

    def add(self, field: str, action: str, rule: str) -> None:
        if field == _ANY:
            self.fallback = action
        elif field.startswith(_TYPE):
            self._by_type[_folded(field.removeprefix(_TYPE))] = action, rule
        else:
            self._by_name[field] = action, rule

    def action(self, name: Any, kind: Any = None) -> str:
        if type(name) is not str or not (kind is None or type(kind) is str):
            return self._look_up(name, kind)
        asked = name, kind
        found = self._found.get(asked)
        if found is None:
            found = self._look_up(name, kind)
            if len(self._found) < _REMEMBERED:
                self._found[asked] = found
        return found

    def _look_up(self, name: Any, kind: Any) -> str:
        met = self._by_name.get(_folded(name)) or self._by_type.get(_folded(kind))
        if met is None:
            return self.fallback or KEEP
        action, rule = met
        self.met.add(rule)
        return action


def _folded(name: Any) -> str:
    return str(name).strip().casefold() if isinstance(name, str | int) else ""


def _pseudonyms(rules: Mapping[str, str], key: str | None) -> Pseudonyms | None:
    hashed = next((name for name, action in rules.items() if action == HASH), None)
    if hashed is None:
        return None
    if not key:
        raise RobofyConfigError(
            f"privacy: {hashed} is to be hashed, and the connection's extra pseudonym_key, the key of the hash, is not "
            "set. Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    if len(key) < _SHORTEST_KEY:
        raise RobofyConfigError(
            f"privacy: {hashed} is to be hashed, and the connection's extra pseudonym_key has {len(key)} characters, "
            f"so it could be found by trying. Take {_SHORTEST_KEY} or more; a new key gives new hashes."
        )
    return Pseudonyms(key)

"""What becomes of personal data before a row lands: a policy of rules, by the name or type of a field."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.fields import field_key, opened
from airflow_provider_robofy.extract.pseudonyms import Pseudonyms, check_pseudonym_secret
from airflow_provider_robofy.resources import MESSAGES, SESSION_KEY, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from logging import Logger

    from airflow_provider_robofy.resources import Resource

KEEP: Final = "keep"
DROP: Final = "drop"
HASH: Final = "hash"
ACTIONS: Final = (KEEP, DROP, HASH)

_SESSION_ID: Final = SESSIONS.key
_ENTRY: Final = frozenset({"field_name", "field_type", "field_value"})
_NOTHING: Final = object()
#: An id is hashed as it is: trimmed and case-folded, two could become one, and a row be lost.
_HASH_ID: Final = "hash id"
#: What no rule names is kept, and rules may name fields within it.
_KEEP_REST: Final = "keep, and look within"
#: A value is searched for fields to this depth; what is nested deeper is dropped, since no rule is followed there.
_DEEPEST: Final = 32
_ANY: Final = "*"
_TYPE: Final = "type:"
#: Names that are this similar, from 0 to 1, are probably meant to be one.
_NEARLY: Final = 0.8
#: So many names are remembered, so that invented ones cannot fill the memory.
_REMEMBERED: Final = 4096


def check_rules(rules: Any, where: str) -> dict[str, str]:
    """Return the rules of a policy in one form.

    :param rules: Field to action.
    :param where: The argument or setting that they are from, for the error.
    :raises RobofyConfigError: They cannot be used; the message says why.
    """
    if not hasattr(rules, "items"):
        raise RobofyConfigError(f'{where} must be an object of rules such as {{"ip_address": "drop"}}.')
    checked: dict[str, str] = {}
    for field, action in rules.items():
        name = _rule_name(field) if isinstance(field, str) else ""
        parent, dot, child = name.partition(".")
        if not parent or (dot and child in {"", _TYPE}):
            raise RobofyConfigError(f"{where}: {field!r} names no field.")
        if action not in ACTIONS:
            raise RobofyConfigError(f"{where}: the action of {field!r} must be one of {', '.join(ACTIONS)}.")
        if name == _SESSION_ID and action == DROP:
            raise RobofyConfigError(
                f"{where}: {_SESSION_ID} can be kept or hashed, but not dropped: messages belong to their session by "
                "it."
            )
        if checked.setdefault(name, action) != action:
            raise RobofyConfigError(
                f"{where} has two actions for {name!r}; case, spaces and Unicode form make no difference."
            )
    return checked


def _rule_name(field: str) -> str:
    parent, dot, child = field_key(field).partition(".")
    child = child.strip()
    if child.startswith(_TYPE):
        child = f"{_TYPE}{child.removeprefix(_TYPE).strip()}"
    return f"{parent.strip()}{dot}{child}"


class PrivacyPolicy:
    """Apply a policy to the rows of one resource.

    Usage::

        policy = PrivacyPolicy({"ip_address": "drop", "lead_data.email": "hash", "lead_data.*": "drop"}, key, LEADS)
        row = policy.land(row)

    A rule names a field of the row (``ip_address``), a field within one (``lead_data.email``, by its ``field_name`` or,
    in an object, its key), or a form field's type (``lead_data.type:email``). ``*`` and ``lead_data.*`` are for what no
    rule names. A name counts before a type, a type before ``*``. Names are compared as
    :func:`~airflow_provider_robofy.extract.fields.field_key` says.

    A field that some rule looks into may be JSON in a text: the rules hold for what is in it, and what they leave of it
    lands as text again, since a field should not change its type with the policy. Where ``lead_data.*`` keeps the
    others, rules are followed at any depth.

    Rows keep their time, and leads their id or its hash, whatever ``*`` says: rows are told apart and put in time by
    them. Sessions and messages are named by a hash of the session's id, unless a rule says ``keep``. Sessions land with
    the id all the same, since their messages are asked for by it; the hash is beside it as ``_session_key``.

    :param rules: As :func:`check_rules` returns them.
    :param pseudonym_secret: Key of the hash, or None.
    :param resource: What the rows are.
    :param own: Rules that were given for this task; one that matches no field is warned about. Default none.
    :param of_sessions: Do the rows come with the session that they were read of? Its id is then hashed unless a rule
        keeps it, as for messages. Default False.
    :raises RobofyConfigError: A rule cannot be followed, or leaves open what becomes of a new form field.
    """

    def __init__(
        self,
        rules: Mapping[str, str],
        pseudonym_secret: str | None,
        resource: Resource,
        own: Iterable[str] = (),
        *,
        of_sessions: bool = False,
    ) -> None:
        self.rules = dict(rules)
        self._resource = resource
        self._own = frozenset(own)
        if not resource.id_is_personal:
            self._require(resource.id, KEEP, HASH)
        self._require(resource.time, KEEP)
        if of_sessions or resource in {SESSIONS, MESSAGES}:
            self.rules.setdefault(_SESSION_ID, HASH)
        self._adds_key = resource is SESSIONS and self.rules[_SESSION_ID] == HASH
        #: Fields that this adds to a row.
        self.added = frozenset({SESSION_KEY} if self._adds_key else ())
        # What becomes of a field, by its name as it came: looked up once, not once a row.
        self._plan = lru_cache(_REMEMBERED)(self._look_up)
        self._top = _Rules()
        self._children: dict[str, _Rules] = {}
        ids = {_SESSION_ID, resource.id}
        for name, action in self.rules.items():
            parent, dot, child = name.partition(".")
            if dot:
                self._children.setdefault(parent, _Rules()).add(child, action, name)
                # A field of the row may be called so as a whole.
                self._top.add(name, action, name)
            else:
                self._top.add(name, _HASH_ID if name in ids and action == HASH else action, name)
        for parent, children in self._children.items():
            # What the whole field is to become is an answer too.
            children.fallback = children.fallback or self.rules.get(parent)
            if children.fallback is None:
                raise RobofyConfigError(
                    f"privacy names fields of {parent}, but does not say what becomes of others, which somebody may "
                    f"add to the form tomorrow. Add {f'{parent}.{_ANY}'!r} with keep, drop or hash."
                )
            children.rest = _KEEP_REST if children.fallback == KEEP else children.fallback
        self._top.rest = self._top.fallback or KEEP
        #: None where no rule hashes; then nothing asks for it.
        self._pseudonyms: Any = _pseudonyms(self.rules, pseudonym_secret)

    @property
    def applied(self) -> dict[str, Any]:
        """Return what :func:`applied_rules` does."""
        key = self._pseudonyms and self._pseudonyms.short("which key made the hashes of a cursor")
        return {"rules": dict(sorted(self.rules.items())), "own": sorted(self._own), "key": key}

    def _require(self, field: str | None, *allowed: str) -> None:
        if field is not None and self.rules.setdefault(field, KEEP) not in allowed:
            past = {KEEP: "kept", HASH: "hashed"}
            raise RobofyConfigError(
                f"privacy: {field} of {self._resource.name} must be {' or '.join(past[one] for one in allowed)}, "
                "because rows are identified or ordered by it."
            )

    def land(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what lands of a row.

        :param row: The row as the API sent it; it is not changed.
        """
        landed = self.apply(row)
        if self._adds_key:
            landed[_SESSION_ID] = session_id = row[_SESSION_ID]
            landed[SESSION_KEY] = self._exact(session_id)
        return landed

    def apply(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what the rules leave of a row.

        :param row: The row as the API sent it; it is not changed.
        """
        result: dict[str, Any] = {}
        plan = self._plan
        for field, value in row.items():
            what = plan(field)
            if what == KEEP:
                result[field] = value
                continue
            kept = self._done(value, what) if isinstance(what, str) else self._within(value, what)
            if kept is not _NOTHING:
                result[field] = kept
        return result

    def rejected(self, row: Any) -> Any:
        """Return what may be kept of a row that cannot be read: nothing of one whose fields have no names.

        :param row: Any JSON.
        """
        if type(row) is dict:
            return self.apply(row)
        return f"withheld by the privacy policy: a {type(row).__name__}, which has no fields"

    def session(self, session_id: str) -> str:
        """Return what a session is called in what lands of it.

        :param session_id: Its id.
        """
        self._top.met.add(_SESSION_ID)
        return session_id if self.rules[_SESSION_ID] == KEEP else self._exact(session_id)

    def report(self, log: Logger, rows: int) -> None:
        """Log which rules have matched no field: a misspelt one protects nothing.

        :param log: Where to. A rule of this task that was to protect a field is worth a warning, and so is a rule of
            the connection whose name is nearly that of a field of these rows. Its other rules may be for other rows.
        :param rows: How many rows there were; without any, nothing is logged.
        """
        unmet = self._unmet if rows else []
        loud = [name for name in unmet if self._is_doubtful(name)]
        quiet = [name for name in unmet if name not in loud]
        if loud:
            log.warning(
                "privacy: no field of these %s %s is called %s. Is a name misspelt? What it was meant for has landed "
                "as the other rules say.",
                rows,
                self._resource.name,
                " or ".join(map(repr, loud)),
            )
        if quiet:
            log.info("privacy: rules that no field of these %s has met: %s", self._resource.name, ", ".join(quiet))

    def _is_doubtful(self, name: str) -> bool:
        """Return whether a rule that no field has met is probably misspelt, and has protected nothing."""
        parent, dot, _ = name.partition(".")
        if name in self._own:
            return not dot or (self.rules[name] != KEEP and self._children[parent].fallback == KEEP)
        known = self._resource.known
        return parent not in known and bool(get_close_matches(parent, known, 1, _NEARLY))

    @property
    def _unmet(self) -> list[str]:
        met = self._top.met.union(*(children.met for children in self._children.values()))
        met |= {parent for parent, children in self._children.items() if children.seen}
        return sorted(name for name in self.rules if name not in met and name.rpartition(".")[2] != _ANY)

    def _look_up(self, field: str) -> _Rules | str:
        children = self._children.get(field_key(field))
        if children is not None:
            children.seen = True
        return self._top.action(field) if children is None else children

    def _within(self, value: Any, rules: _Rules, depth: int = 0) -> Any:
        """Return what the rules leave of a value that may have fields."""
        if depth > _DEEPEST:
            return _NOTHING
        if type(value) is str:
            return self._text(value, rules, depth, self._within)
        if type(value) is list:
            return [kept for one in value if (kept := self._entry(one, rules, depth)) is not _NOTHING]
        if type(value) is dict:
            return self._members(value, rules, depth)
        return self._done(value, rules.fallback)

    def _text(self, text: str, rules: _Rules, depth: int, within: Callable[[Any, _Rules, int], Any]) -> Any:
        """Return what the rules leave of a text, which may be JSON."""
        inner = opened(text)
        if inner is None:
            return self._done(text, rules.fallback)
        kept = within(inner, rules, depth + 1)
        if kept is _NOTHING:
            return _NOTHING
        return text if kept == inner else dump_line(kept).decode().rstrip()

    def _entry(self, entry: Any, rules: _Rules, depth: int) -> Any:
        if depth > _DEEPEST:
            return _NOTHING
        if type(entry) is str:
            return self._text(entry, rules, depth, self._entry)
        if type(entry) is not dict:
            return self._part(entry, rules, depth)
        if _ENTRY.isdisjoint(entry):
            return self._members(entry, rules, depth)
        action = rules.action(entry.get("field_name"), entry.get("field_type"))
        if action == _KEEP_REST:
            return self._members(entry, rules, depth)
        if action != HASH:
            return self._done(entry, action)
        # Not what else may be there: it could repeat the value.
        kept = {name: of for name, of in entry.items() if name in _ENTRY}
        return {**kept, "field_value": self._done(entry.get("field_value"), HASH)}

    def _members(self, value: dict[str, Any], rules: _Rules, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, of in value.items():
            action = rules.action(name)
            if action == _KEEP_REST:
                # Most values are plain text, which is kept at once.
                kept = of if type(of) is str and "{" not in of and "[" not in of else self._part(of, rules, depth)
            else:
                kept = self._done(of, action)
            if kept is not _NOTHING:
                result[name] = kept
        return result

    def _part(self, value: Any, rules: _Rules, depth: int) -> Any:
        """Return what the rules leave of a part that no rule names."""
        return self._within(value, rules, depth + 1) if rules.rest == _KEEP_REST else self._done(value, rules.rest)

    def _done(self, value: Any, action: str | None) -> Any:
        if action == KEEP:
            return value
        if action == _HASH_ID:
            return self._exact(value)
        return self._pseudonyms.full(value) if action == HASH else _NOTHING

    def _exact(self, value: Any) -> Any:
        is_id = isinstance(value, str | int) and not isinstance(value, bool)
        return self._pseudonyms.exact(str(value)) if is_id else self._pseudonyms.full(value)


class _Rules:
    """The rules for the fields of one object."""

    def __init__(self) -> None:
        self.fallback: str | None = None
        #: What becomes of a field that no rule names.
        self.rest: str | None = None
        #: Has a row had this object?
        self.seen = False
        #: Full names of the rules that a field has matched.
        self.met: set[str] = set()
        self._by_name: dict[str, tuple[str, str]] = {}
        self._by_type: dict[str, tuple[str, str]] = {}
        self._found = lru_cache(_REMEMBERED)(self._look_up)

    def add(self, field: str, action: str, rule: str) -> None:
        if field == _ANY:
            self.fallback = action
        elif field.startswith(_TYPE):
            self._by_type[field.removeprefix(_TYPE)] = action, rule
        else:
            self._by_name[field] = action, rule

    def action(self, name: Any, kind: Any = None) -> str:
        plain = type(name) is str and (kind is None or type(kind) is str)
        return self._found(name, kind) if plain else self._look_up(name, kind)

    def _look_up(self, name: Any, kind: Any) -> str:
        met = self._by_name.get(_folded(name)) or self._by_type.get(_folded(kind))
        if met is None:
            return self.rest or KEEP
        action, rule = met
        self.met.add(rule)
        return action


def _folded(name: Any) -> str:
    return field_key(str(name)) if isinstance(name, str | int) else ""


def _pseudonyms(rules: Mapping[str, str], key: str | None) -> Pseudonyms | None:
    hashed = next((name for name, action in rules.items() if action == HASH), None)
    if hashed is None:
        return None
    if not key:
        raise RobofyConfigError(
            f"privacy: {hashed} is to be hashed, and the connection's extra pseudonym_secret, the key of the hash, is "
            "not set. Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    check_pseudonym_secret(key, f"privacy: {hashed} is to be hashed, and the")
    return Pseudonyms(key)


def applied_rules(policy: PrivacyPolicy | None) -> dict[str, Any]:
    """Return under which rules rows are hashed, as a cursor stores it, for example::

        {"rules": {"created_at": "keep", "id": "keep", "ip_address": "drop"}, "own": ["ip_address"], "key": null}

    ``own`` names the rules that are the task's own, which a watcher of the cursor does not know from the connection.
    ``key`` tells one pseudonym secret from another by a hash that is made with it; null where no rule hashes.

    :param policy: The policy, or None where everything is kept.
    """  # noqa: D400 (ends in a sample)
    return {"rules": {}, "own": [], "key": None} if policy is None else policy.applied


def own_rules(applied: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the rules that a task has added to those of its connection.

    :param applied: As :func:`applied_rules` returned it; None, of a cursor of an earlier version, names none.
    :raises RobofyConfigError: They are no rules.
    """
    if applied is None:
        return {}
    own = frozenset(applied["own"])
    return check_rules({name: action for name, action in applied["rules"].items() if name in own}, "The cursor")

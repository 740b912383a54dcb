"""The questions that the probe answers: one table, each a small function from what was seen to a finding."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.answers import http_date
from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.api.tokens import foresee
from airflow_provider_robofy.extract.rows import MIXED, NEWEST_FIRST, OLDEST_FIRST
from airflow_provider_robofy.probe.answer import NO_ROWS, UNKNOWN_TOKEN, Answer
from airflow_provider_robofy.probe.seen import ENDPOINT_OF, objects
from airflow_provider_robofy.probe.times import FUTURE, SLACK, is_naive, offset_of, offset_text, span_text
from airflow_provider_robofy.probe.words import (
    FIELD_TYPES,
    MESSAGE_IDS,
    MESSAGE_TEXTS,
    MOST_SHOWN,
    ROLES,
    SPEAKERS,
    TOTALS,
    counted,
    kind_of,
    snake,
    with_counts,
    word,
)
from airflow_provider_robofy.resources import LEADS, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_provider_robofy.probe.ask import Head
    from airflow_provider_robofy.probe.seen import Listing
    from airflow_provider_robofy.probe.times import ZoneEvidence

#: Every topic, in the order of the report.
TOPICS: Final = {
    "leads": "Leads",
    "sessions": "Inbox sessions",
    "messages": "Messages",
    "other": "Other endpoints",
    "answers": "Answers in general",
}
#: Rows and pages from which on a setting rests on enough.
_ENOUGH_ROWS: Final = 20
_ENOUGH_PAGES: Final = 2
_HALF_A_DAY: Final = 12 * 3600
_ORDERS: Final = {NEWEST_FIRST: "newest first", OLDEST_FIRST: "oldest first", MIXED: "mixed"}
SET_PATH: Final = "Set it in the extra endpoints."
#: An object that is keyed by people can have any number of names.
_MOST_NAMES: Final = 300
_ID_LIKE: Final = re.compile(r"^_?(?:id|uuid|guid)$|_(?:id|uuid)$|[a-z](?:Id|ID|Uuid)$")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LIMIT_HEADER: Final = re.compile(
    r"retry-after|(?:x-)?rate-?limit"
    r"(?:-(?:limit|remaining|reset|used|policy|burst|capacity|second|minute|hour|day|daily|requests|tokens))*"
)
_NUMBER: Final = re.compile(r"-?\d{1,12}(?:\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Finding:
    """Answer one question about the account.

    :param found: The answer, in a sentence or less.
    :param value: The same for programs: plain JSON. Default null.
    :param advice: What to do. Default nothing.
    :param settings: Extras of the connection that should be what they are not. Default none.
    :param open: Whether the question stays unanswered. Default False.
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


def about_listing(listing: Listing) -> list[Finding]:
    """Return all findings about leads, sessions or messages.

    :param listing: What was read of them.
    """
    # Without a page only the path is known, and without rows the envelope too.
    most = 1 if not listing.answers else 2 if listing.worst.trouble == NO_ROWS else None
    return _findings(listing.resource.name, listing, len(listing.answers), sum(listing.sizes), most)


def about_answers(heads: Sequence[Head]) -> list[Finding]:
    """Return all findings about what stands beside the content of answers.

    :param heads: Every answer, those included that were asked for again.
    """
    return _findings("answers", heads, len(heads), 0) if heads else []


def _findings(topic: str, seen: Any, answers: int, rows: int, most: int | None = None) -> list[Finding]:
    questions = [question for question in _QUESTIONS if topic in question[0].split()][:most]
    answered = [(name, answer(seen), assumed) for _, name, answer, assumed in questions]
    return [
        replace(
            found,
            topic=topic,
            name=name,
            assumed=found.assumed or assumed,
            answers=answers if found.answers is None else found.answers,
            rows=rows if found.rows is None else found.rows,
        )
        for name, found, assumed in answered
        if found is not None
    ]


# ----------------------------------------------------------------------------------------------- path and envelope
def _path(listing: Listing) -> Finding:
    endpoint = ENDPOINT_OF[listing.resource.name]
    usual = ENDPOINTS[endpoint][1]
    if not listing.runs:
        return Finding("not asked: there is no session", assumed=usual)
    if (failure := listing.failure) is not None:
        return Finding(f"no answer: {failure.what}", advice=failure.advice, open=True, assumed=usual)
    if (template := listing.answers[0].template) is None:
        return Finding("answers", "answers", assumed=usual)
    settings = {"endpoints": {endpoint: template}}
    return Finding(f"not there, but under {template}", template, SET_PATH, settings, assumed=usual)


def _envelope(listing: Listing) -> Finding:
    page, names, at = listing.worst, listing.names, listing.worst.rows_at
    if page.trouble == NO_ROWS:
        found = f"a list of rows was not found in the answer, which is of type {kind_of(page.payload)}"
        advice = "The provider cannot read this listing. Report it to the provider with this finding."
        return Finding(found, advice=advice, open=True)
    around = [one[-1] for one in page.fields if at and one[:-1] == at[:-1] and one != at]
    place = "a bare array" if at == () else f"rows under {names.path(at)}" if at else "rows, at an odd place"
    beside = f"; beside them {', '.join(names.many(around))}" if around else ""
    return Finding(place + beside, None if at is None else names.path(at))


# ----------------------------------------------------------------------------------------------------------- pages
def _page_size(listing: Listing) -> Finding:
    sizes = listing.sizes
    if listing.announcing is None:
        return Finding(f"{counted(sum(sizes), 'row')}, all on one page")
    whole = [len(one.items) for one in listing.answers if one.rows and one.rows.token is not None]
    low, high = min(whole), max(whole)
    if low == high:
        return Finding(counted(low, "row"), low, answers=len(whole), rows=sum(whole))
    return Finding(f"varies from {low} to {high} rows", [low, high])


def _order(listing: Listing) -> Finding:
    times, setting = listing.times, f"{listing.resource.name}_order"
    # Messages are few in a session, so there is no setting for their order.
    current = getattr(listing.connection, setting, "")
    if times.order not in _ORDERS:
        why = "all times are equal" if times.forms.total() > 1 else "there are too few times"
        return Finding(f"unknown: {why}", "unknown", assumed=current)
    advice, settings = "", {}
    if times.order == NEWEST_FIRST and current not in {"", NEWEST_FIRST}:
        if len(listing.sizes) < _ENOUGH_PAGES or sum(listing.sizes) < _ENOUGH_ROWS:
            advice = f"Too few rows to set {setting}: a listing this short gains nothing from it."
        else:
            advice = f"Set {setting}: windows and cursors then stop reading early."
            settings = {setting: NEWEST_FIRST}
    elif times.order != NEWEST_FIRST and current == NEWEST_FIRST:
        advice = f"Take {setting} back: reads warn and go to the end each time."
        settings = {setting: "unknown"}
    found = f"{_ORDERS[times.order]} ({counted(len(times.moments), 'different time')})"
    return Finding(found, times.order, advice, settings, assumed=current)


def _next_page(listing: Listing) -> Finding:
    announcing, names = listing.announcing, listing.names
    if listing.worst.trouble == UNKNOWN_TOKEN:
        at = sorted({names.path(at) for at in listing.worst.pointers_at})
        found = f"{', '.join(at)} seems to point to a next page in a way that the provider does not know"
        advice = "The provider refuses to read this listing, so as to lose nothing. Report it to the provider."
        return Finding(found, at, advice, open=True)
    if announcing is None or announcing.token_at is None:
        return Finding(f"none was announced on {counted(len(listing.answers), 'page')}")
    found = names.path(announcing.token_at)
    if any(one.leads_back for one in listing.answers):
        advice = "Reads of this listing will fail. Give this to Robofy's support."
        return Finding(f"a token under {found}, which leads back to an earlier page", found, advice)
    return Finding(f"a token under {found}", found)


def _foreseen(leads: Listing) -> Finding:
    most = leads.connection.settings.max_parallel_pages
    assumed = f"nothing; where tokens can be foreseen, {counted(most, 'page')} at a time (max_parallel_pages)"
    pages = [one.rows for one in leads.answers if one.rows and one.rows.token is not None]
    forms = [foresee(one.token or "", two.token or "", len(two.items)) for one, two in pairwise(pages)]
    if not forms:
        return Finding("unknown: that takes the tokens of two pages in a row", assumed=assumed)
    counts = {"no" if form is None else "page numbers" if form.step == 1 else "row offsets" for form in forms}
    if len(counts) > 1 or "no" in counts:
        advice = "" if most == 1 else "max_parallel_pages has no effect here: reads ask for one page after another."
        return Finding("no", "no", advice, assumed=assumed)
    advice = f"Reads to the end may ask for {most} pages at a time; if that is too many, lower max_parallel_pages."
    if most == 1:
        advice = "To read several pages at a time, set max_parallel_pages to more than 1."
    [found] = counts
    return Finding(f"yes: they are {found}", found, advice, assumed=assumed)


def _end(listing: Listing) -> Finding:
    markers = sorted(set(listing.ends))
    if not markers:
        why = f": {listing.stopped.what}" if listing.stopped else ""
        return Finding(f"not reached{why}", open=bool(listing.stopped))
    found = "; ".join(f"the token is {marker}" for marker in markers)
    return Finding(found, markers, answers=len(listing.ends), rows=0)


def _total(listing: Listing) -> Finding:
    numbers = (at for at, one in listing.worst.fields.items() if snake(at[-1]) in TOTALS and kind_of(one) == "number")
    at = [listing.names.path(at) for at in numbers]
    return Finding(f"a number under {', '.join(at)}" if at else "none", at)


# ----------------------------------------------------------------------------------------------------------- times
def _times(listing: Listing) -> Finding:
    times, expected = listing.times, listing.resource.time
    if times.name is None:
        return Finding("no field with readable times", open=bool(sum(listing.sizes)))
    forms, shown = [form for form, _ in times.forms.most_common(4)], listing.names.path([times.name])
    unreadable = f"; {counted(times.unreadable, 'value')} could not be read" if times.unreadable else ""
    advice = f"The provider looks at {expected}: such rows count as undated. Report this finding."
    usual = not expected or times.name == expected
    value = {"field": shown, "forms": forms}
    return Finding(f"{' and '.join(forms)}, in {shown}{unreadable}", value, "" if usual else advice)


def _time_zone(leads: Listing) -> Finding:
    evidence, current, now = leads.zone, leads.connection.times.timezone, leads.answers[0].at
    assumed = f"{current} where times name no zone"
    if not leads.times.forms:
        return Finding("unknown: there are no times to read", assumed=assumed)
    if not any(map(is_naive, leads.times.forms)):
        return Finding("every time names its zone", "in the times", assumed=assumed)
    set_to, exact, better = offset_of(current, now), evidence.exact, evidence.zone(now)
    right = set_to == exact if exact is not None else set_to >= (evidence.ahead or 0) - FUTURE
    advice, settings = "", {}
    if not right and better is not None:
        advice = f"Set timezone to {better}, or to the IANA name of your own zone with that offset."
        settings = {"timezone": better}
    elif not right or exact is None:
        advice = "To know it, probe with --wait 3 and make a lead meanwhile."
        others = [name for name in sorted(evidence.hints) if offset_of(name, now) != set_to]
        if not right:
            advice = f"The zone that is set cannot be right. {advice}"
        elif others:
            advice = f"If times are written in {' or '.join(others)}, set timezone to that. {advice}"
    value = {"hints": sorted(evidence.hints), "exact_offset": exact, "least_offset": evidence.least}
    return Finding(_zone_found(evidence), value, advice, settings, open=not right and not settings, assumed=assumed)


def _zone_found(evidence: ZoneEvidence) -> str:
    hints = f"; the account names {' and '.join(sorted(evidence.hints))}" if evidence.hints else ""
    ahead = evidence.ahead or 0.0
    if evidence.exact is not None:
        leads = counted(len(evidence.fresh), "lead")
        return f"{offset_text(evidence.exact)}, from {leads} that came between two reads{hints}"
    newest = f"read as UTC, the newest lead or session {'lies' if ahead > FUTURE else 'is'} {span_text(ahead)}"
    if evidence.least is not None:
        return f"{newest} in the future: the zone is {offset_text(evidence.least)} or east of it{hints}"
    if ahead < -_HALF_A_DAY:
        return f"{newest} old, which does not show the zone{hints}"
    return f"{newest} {'old' if ahead < 0 else 'ahead'}: the zone lies no more than that west of UTC{hints}"


# ------------------------------------------------------------------------------------------------------------ rows
def _ids(listing: Listing) -> Finding:
    kinds = Counter(_kind_of_id(listing.id_of(row)) for row in listing.rows)
    return Finding(with_counts(kinds), dict(kinds)) if set(kinds) - {"none"} else Finding("rows have no id", {})


def _kind_of_id(row_id: str | int | None) -> str:
    if not isinstance(row_id, str):
        return "none" if row_id is None else "number"
    return "text (digits)" if row_id.isdecimal() else "text (UUID)" if _UUID.fullmatch(row_id) else "text"


def _duplicates(listing: Listing) -> Finding:
    seen: set[str | int | None] = set()
    within = between = 0
    for page in listing.answers:
        ids = [row_id for row in objects(page.items) if (row_id := listing.id_of(row)) is not None]
        within += len(ids) - len(set(ids))
        between += len(seen.intersection(ids))
        seen.update(ids)
    found = f"{within} within a page, {between} on a later page" if within + between else "none"
    return Finding(found, {"within": within, "between": between})


def _fields(listing: Listing) -> Finding:
    names, fields, others = listing.names, listing.fields, sum(listing.sizes) - len(listing.rows)
    always = [name for name, kinds in fields.items() if kinds.total() == len(listing.rows)]
    sometimes = [name for name, kinds in fields.items() if kinds.total() < len(listing.rows)]
    found = f"in every row: {', '.join(names.many(always)) or 'none'}"
    if sometimes:
        found += f"; in some: {', '.join(names.many(sometimes))}"
    if others:
        found += f"; {counted(others, 'row')} no objects"
    return Finding(found, {name: dict(fields[name]) for name in list(fields)[:_MOST_NAMES] if names.shows(name)})


def _expected_fields(listing: Listing) -> Finding | None:
    if not listing.rows:
        return None
    labels = ("lacking", "further ones")
    return _differing(listing, [one.name for one in listing.resource.sent], labels, "all there, and no others")


def _columns(leads: Listing) -> Finding | None:
    at = leads.worst.rows_at
    columns = leads.worst.fields.get((*at[:-1], "columns")) if at else None
    if not any(leads.sizes):
        return None
    if not isinstance(columns, list):
        return Finding("the answer declares none")
    labels = ("declared, but in no row", "in rows, but not declared")
    same = f"{counted(len(columns), 'column')}, just the fields of the rows"
    return _differing(leads, [str(name) for name in columns], labels, same)


def _differing(listing: Listing, expected: Sequence[str], labels: tuple[str, str], same: str) -> Finding:
    lacking = listing.names.many(name for name in expected if name not in listing.fields)
    further = listing.names.many(name for name in listing.fields if name not in set(expected))
    parts = [f"{label}: {', '.join(names)}" for label, names in zip(labels, (lacking, further), strict=True) if names]
    return Finding("; ".join(parts) or same, {"lacking": lacking, "further": further})


def _entries(leads: Listing) -> list[Any]:
    """Return what all ``lead_data`` are made of: the forms that visitors filled in.

    Sample of one::

        {"field_name": "email", "field_type": "email", "field_value": "john@example.com"}
    """
    return [entry for row in leads.rows for entry in _list(row.get("lead_data"))]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _lead_data(leads: Listing) -> Finding | None:
    kinds = Counter(kind_of(row.get("lead_data")) for row in leads.rows)
    entries = Counter(map(kind_of, _entries(leads)))
    if not kinds:
        return None
    found = f"{with_counts(kinds)}, with {counted(entries.total(), 'field')} in all"
    if strange := Counter({kind: number for kind, number in entries.items() if kind != "object"}):
        found += f"; among them {with_counts(strange)} instead of objects"
    return Finding(found, {"kinds": dict(kinds), "fields": entries.total()})


def _labels(entries: Iterable[Any]) -> Counter[str]:
    return Counter(str(entry.get("field_name")) for entry in objects(entries))


def _form_fields(leads: Listing) -> Finding | None:
    entries = objects(_entries(leads))
    if not _entries(leads):
        return None
    names = leads.names.many(sorted({name for entry in entries for name in entry}))
    types = Counter(word(entry.get("field_type"), FIELD_TYPES) or "another word" for entry in entries)
    values, different = Counter(kind_of(entry.get("field_value")) for entry in entries), len(_labels(entries))
    repeating = sum(any(count > 1 for count in _labels(_list(row.get("lead_data"))).values()) for row in leads.rows)
    repeat = f"; names repeat within {counted(repeating, 'lead')}" if repeating else ""
    found = f"of {', '.join(names)}; types {with_counts(types)}; values {with_counts(values)}{repeat}; "
    value: dict[str, Any] = {"made_of": names, "types": dict(types), "values": dict(values)}
    value |= {"leads_with_repeated_names": repeating, "different_names": different}
    return Finding(found + counted(different, "different field name"), value)


def _form_field_names(leads: Listing) -> Finding | None:
    labels = _labels(_entries(leads))
    if not leads.names.reveal or not labels:
        return None
    shown = [(name, number) for name, number in labels.most_common() if leads.names.shows(name)][:MOST_SHOWN]
    rest = labels.total() - sum(number for _, number in shown)
    named = [f"{name} ({number})" for name, number in shown] + ([f"not shown ({rest})"] if rest else [])
    return Finding(", ".join(named), named)


def _changes(leads: Listing) -> Finding:
    again = next(iter(leads.again), None)
    if not isinstance(again, Answer):
        return Finding(f"not compared: {again.what if again else 'there are no leads to compare'}", open=bool(again))
    if again.trouble == NO_ROWS:
        return Finding("not compared: no list of rows was found in the answer", open=True)
    second = leads.compare(again)
    span, changed, compared = span_text(second["seconds"]), second["changed"], second["unchanged"] + second["changed"]
    found = f"not seen to change in {span}"
    if changed or second["vanished"]:
        found = f"{changed} changed and {second['vanished']} vanished in {span}"
    later = "" if changed or second["seconds"] >= FUTURE else "Changes later on show with --wait and some minutes."
    found = f"{counted(compared, 'lead')}: {found}; {second['new']} new"
    return Finding(found, second, later, answers=2, rows=compared)


def _speakers(listing: Listing) -> Finding:
    fields: dict[str, Counter[str]] = {}
    for name in listing.fields:
        if snake(name) in SPEAKERS:
            values = [row[name] for row in listing.rows if name in row]
            words = Counter(word(one, ROLES) or ("none" if one is None else "another word") for one in values)
            # A field such as type or source need not be about the speaker at all.
            if set(words) != {"another word"}:
                fields[listing.names.path([name])] = words
    found = "; ".join(f"{name}: {with_counts(words)}" for name, words in fields.items())
    return Finding(found or "no known field names it", {name: dict(words) for name, words in fields.items()})


def _length(messages: Listing) -> Finding:
    rows, sessions = sum(messages.sizes), len(messages.runs)
    found = f"{counted(rows, 'message')} in {counted(sessions, 'session')}"
    return Finding(found, {"messages": rows, "sessions": sessions})


def _message_id(messages: Listing) -> Finding:
    expected = [name for name in MESSAGE_IDS if name in messages.fields]
    names = messages.names.many(dict.fromkeys([*expected, *filter(_ID_LIKE.search, messages.fields)]))
    return Finding(f"under {', '.join(names)}" if names else "none", names)


def _text(messages: Listing) -> Finding:
    names = [name for name in MESSAGE_TEXTS if name in messages.fields]
    return Finding(f"under {', '.join(names)}" if names else "not under a name that is known", names)


# ------------------------------------------------------------------------------------------------ answers in general
def _limit_headers(heads: Sequence[Head]) -> Finding:
    limits: dict[str, str] = {}
    for name, value in [pair for head in heads for pair in head.headers.items()]:
        if "retry-after" in name or "ratelimit" in name.replace("-", ""):
            shown = name if _LIMIT_HEADER.fullmatch(name) else "a further rate limit header"
            limits[shown] = value.strip() if _NUMBER.fullmatch(value.strip()) else "not a plain number"
    found = "; ".join(f"{name}: {value}" for name, value in sorted(limits.items()))
    advice = "If these name a budget, set requests_per_minute to your share of it." if limits else ""
    return Finding(found or "none", limits, advice)


def _limits_met(heads: Sequence[Head]) -> Finding:
    waits = Counter(_wait(one.headers.get("retry-after")) for one in heads if one.status == 429)
    value = {"times": waits.total(), "retry_after": dict(waits)}
    if not waits:
        return Finding("none at this pace", value)
    found = f"{waits.total()} times, with Retry-After {with_counts(waits)}"
    return Finding(found, value, "Set requests_per_minute, or put tasks into a pool.")


def _wait(header: str | None) -> str:
    if header is None:
        return "absent"
    return "seconds" if _NUMBER.fullmatch(header.strip()) else "a date" if http_date(header) else "unreadable"


def _statuses(heads: Sequence[Head]) -> Finding:
    statuses = Counter(str(status) for status in sorted(head.status for head in heads))
    return Finding(with_counts(statuses), dict(statuses))


def _errors(heads: Sequence[Head]) -> Finding | None:
    shapes = Counter(sorted(head.error for head in heads if head.error))
    return Finding(with_counts(shapes), dict(shapes), answers=shapes.total()) if shapes else None


def _clock(heads: Sequence[Head]) -> Finding:
    ahead = next((head.ahead for head in reversed(heads) if head.ahead is not None), None)
    if ahead is None:
        return Finding("unknown: answers have no Date header", assumed="then this machine's")
    if abs(ahead) <= SLACK:
        return Finding("agrees with this machine's", round(ahead))
    found = f"{span_text(ahead)} {'ahead of' if ahead > 0 else 'behind'} this machine's"
    return Finding(found, round(ahead), "Set the clock of this machine: windows without an end reach until its now.")


# ------------------------------------------------------------------------------------------------------- the table
_EVERY: Final = "leads sessions messages"
_BOTH: Final = "leads sessions"
_TIMES: Final = "YYYY-MM-DD HH:MM:SS or with a zone or as epoch"
#: Topics, name, function and what the provider assumes, in the order of the report. A function returns None where the
#: question makes no sense. Path and envelope come first: a listing that cannot be read has no other findings.
_QUESTIONS: Final[tuple[tuple[str, str, Callable[[Any], Finding | None], str], ...]] = (
    (_EVERY, "path", _path, ""),
    ("leads", "envelope", _envelope, "data.report.rows, or under rows or leads"),
    ("sessions", "envelope", _envelope, "a bare array, or sessions, rows or the only array"),
    ("messages", "envelope", _envelope, "a bare array, or messages, chats, rows or the only array"),
    (_BOTH, "page size", _page_size, "nothing"),
    ("messages", "length", _length, "nothing"),
    (_EVERY, "order", _order, "nothing"),
    (_EVERY, "next page", _next_page, "next_page_token or nextPageToken, anywhere outside the rows"),
    ("leads", "foreseeable tokens", _foreseen, ""),
    (_EVERY, "end", _end, "absent, null and empty all end a listing"),
    (_BOTH, "total count", _total, "none"),
    ("leads", "times", _times, f"{LEADS.time}, {_TIMES}"),
    ("sessions", "times", _times, f"{SESSIONS.time}, {_TIMES}"),
    ("messages", "times", _times, "no field in particular"),
    ("leads", "time zone", _time_zone, ""),
    ("leads", "ids", _ids, f"{LEADS.id}, text or a whole number"),
    ("sessions", "ids", _ids, f"{SESSIONS.id}, text or a whole number"),
    ("messages", "message id", _message_id, "none: a hash of the row stands for it"),
    ("messages", "text", _text, ", ".join(MESSAGE_TEXTS)),
    (_BOTH, "duplicates", _duplicates, "the same row lands once"),
    ("leads", "fields", _fields, ", ".join(one.name for one in LEADS.sent)),
    ("sessions", "fields", _fields, ", ".join(one.name for one in SESSIONS.sent)),
    ("messages", "fields", _fields, "none in particular"),
    (_BOTH, "expected fields", _expected_fields, "further fields land as they come"),
    ("leads", "columns", _columns, "not read"),
    ("leads", "lead_data", _lead_data, "anything; it lands as it came"),
    ("leads", "form fields", _form_fields, "field_name, field_type, field_value"),
    ("leads", "form field names", _form_field_names, "any"),
    ("leads", "changes", _changes, "a lead may change; a full read lands its newest state"),
    ("sessions", "directions", _speakers, "nothing"),
    ("messages", "speakers", _speakers, "nothing"),
    ("answers", "rate limit headers", _limit_headers, "Retry-After in seconds or as a date, and no others"),
    ("answers", "rate limits met", _limits_met, "unknown; answers with 429 are sent again"),
    ("answers", "statuses", _statuses, "2xx is success unless the body says otherwise"),
    ("answers", "errors", _errors, "documented shape 1 or 2; others are read by their status"),
    ("answers", "clock", _clock, "the Date header, where there is one"),
)

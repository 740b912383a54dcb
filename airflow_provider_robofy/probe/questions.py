"""The questions that the probe answers: one table, each a small function from what was seen to a finding."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.extract.rows import MIXED, NEWEST_FIRST, OLDEST_FIRST
from airflow_provider_robofy.probe import others
from airflow_provider_robofy.probe.findings import SET_PATH, Finding, Question
from airflow_provider_robofy.probe.shapes import NO_ROWS, UNKNOWN_TOKEN
from airflow_provider_robofy.probe.times import FUTURE, is_naive, offset_of, said_offset, said_span
from airflow_provider_robofy.probe.words import MESSAGE_TEXTS, MOST_SHOWN, TOTALS, counted, snake, with_counts
from airflow_provider_robofy.resources import LEADS, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_robofy.probe.ask import Answer
    from airflow_provider_robofy.probe.seen import Listing
    from airflow_provider_robofy.probe.times import ZoneEvidence

#: Rows and pages from which on a setting rests on enough.
_ENOUGH_ROWS: Final = 20
_ENOUGH_PAGES: Final = 2
_ORDERS: Final = {NEWEST_FIRST: "newest first", OLDEST_FIRST: "oldest first", MIXED: "mixed"}
_HALF_A_DAY: Final = 12 * 3600


def about_listing(listing: Listing) -> list[Finding]:
    """Return all findings about leads, sessions or messages.

    :param listing: What was seen of them.
    """
    most = None
    if not listing.reads or (listing.failure and not listing.pages):
        most = 1  # the path
    elif listing.shape.trouble == NO_ROWS:
        most = 2  # path and envelope
    return _findings(listing.resource.name, listing, listing.pages, listing.rows, most)


def about_answers(answers: Sequence[Answer]) -> list[Finding]:
    """Return all findings about what stands beside the content of answers.

    :param answers: Every answer, those included that were asked for again.
    """
    return _findings("answers", answers, len(answers), 0) if answers else []


def _findings(topic: str, seen: Any, answers: int, rows: int, most: int | None = None) -> list[Finding]:
    questions = [one for one in _QUESTIONS if topic in one.topics.split()][:most]
    answered = [(one, one.answer(seen)) for one in questions]
    return [
        replace(
            found,
            topic=topic,
            name=question.name,
            assumed=found.assumed or question.assumed,
            answers=answers if found.answers is None else found.answers,
            rows=rows if found.rows is None else found.rows,
        )
        for question, found in answered
        if found is not None
    ]


# ----------------------------------------------------------------------------------------------- path and envelope
def _path(listing: Listing) -> Finding:
    usual = ENDPOINTS[listing.endpoint][1]
    if not listing.reads:
        return Finding("not asked: there is no session", assumed=usual)
    if (failure := listing.failure) is not None:
        return Finding(f"no answer: {failure.what}", advice=failure.advice, open=True, assumed=usual)
    if (template := listing.shape.template) is None:
        return Finding("answers", "answers", assumed=usual)
    settings = {"endpoints": {listing.endpoint: template}}
    return Finding(f"not there, but under {template}", template, SET_PATH, settings, assumed=usual)


def _envelope(listing: Listing) -> Finding:
    shape, names = listing.shape, listing.names
    if shape.trouble == NO_ROWS:
        return Finding(
            f"a list of rows was not found in the answer, which is of type {shape.kind}",
            advice="The provider cannot read this listing. Report it to the provider with this finding.",
            open=True,
        )
    at = shape.rows_at
    around = [one[-1] for one in shape.fields if at and one[:-1] == at[:-1] and one != at]
    place = "a bare array" if at == () else f"rows under {names.path(at)}" if at else "rows, at an odd place"
    beside = f"; beside them {', '.join(names.many(around))}" if around else ""
    return Finding(place + beside, None if at is None else names.path(at))


# ----------------------------------------------------------------------------------------------------------- pages
def _page_size(listing: Listing) -> Finding:
    sizes = listing.sizes
    full = sizes[:-1] if listing.announcing is not None and listing.end_markers else sizes
    if listing.announcing is None or not full:
        return Finding(f"{counted(sum(sizes), 'row')}, all on one page")
    low, high = min(full), max(full)
    if low == high:
        return Finding(counted(low, "row"), low, answers=len(full), rows=sum(full))
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
        if listing.pages < _ENOUGH_PAGES or listing.rows < _ENOUGH_ROWS:
            advice = f"Too few rows to set {setting}: a listing this short gains nothing from it."
        else:
            advice = f"Set {setting}: windows and cursors then stop reading early."
            settings = {setting: NEWEST_FIRST}
    elif times.order != NEWEST_FIRST and current == NEWEST_FIRST:
        advice = f"Take {setting} back: reads warn and go to the end each time."
        settings = {setting: "unknown"}
    found = f"{_ORDERS[times.order]} ({counted(len(times.different), 'different time')})"
    return Finding(found, times.order, advice, settings, assumed=current)


def _next_page(listing: Listing) -> Finding:
    announcing, names = listing.announcing, listing.names
    if listing.shape.trouble == UNKNOWN_TOKEN:
        at = sorted({names.path(at) for at in listing.shape.pointers_at})
        return Finding(
            f"{', '.join(at)} seems to point to a next page in a way that the provider does not know",
            at,
            "The provider refuses to read this listing, so as to lose nothing. Report it to the provider.",
            open=True,
        )
    if announcing is None or announcing.token_at is None:
        return Finding(f"none was announced on {counted(listing.pages, 'page')}")
    found = names.path(announcing.token_at)
    if listing.leads_back:
        advice = "Reads of this listing will fail. Give this to Robofy's support."
        return Finding(f"a token under {found}, which leads back to an earlier page", found, advice)
    return Finding(f"a token under {found}", found)


def _foreseen(leads: Listing) -> Finding:
    most = leads.connection.settings.max_parallel_pages
    assumed = f"nothing; where tokens can be foreseen, {counted(most, 'page')} at a time (max_parallel_pages)"
    if not leads.tokens_count:
        return Finding("unknown: that takes the tokens of two pages in a row", assumed=assumed)
    counts = "no" if len(leads.tokens_count) > 1 else next(iter(leads.tokens_count))
    if counts == "no":
        advice = "" if most == 1 else "max_parallel_pages has no effect here: reads ask for one page after another."
        return Finding("no", counts, advice, assumed=assumed)
    advice = f"Reads to the end may ask for {most} pages at a time; if that is too many, lower max_parallel_pages."
    if most == 1:
        advice = "To read several pages at a time, set max_parallel_pages to more than 1."
    return Finding(f"yes: they are {counts}", counts, advice, assumed=assumed)


def _end(listing: Listing) -> Finding:
    markers = sorted(set(listing.end_markers))
    if not markers:
        why = f": {listing.stopped.what}" if listing.stopped else ""
        return Finding(f"not reached{why}", open=bool(listing.stopped))
    found = "; ".join(f"the token is {marker}" for marker in markers)
    return Finding(found, markers, answers=len(listing.end_markers), rows=0)


def _total(listing: Listing) -> Finding:
    numbers = (at for at, kind in listing.shape.fields.items() if snake(at[-1]) in TOTALS and kind == "number")
    at = [listing.names.path(at) for at in numbers]
    return Finding(f"a number under {', '.join(at)}" if at else "none", at)


# ----------------------------------------------------------------------------------------------------------- times
def _times(listing: Listing) -> Finding:
    times, name, expected = listing.times, listing.time_field, listing.resource.time
    if name is None:
        return Finding("no field with readable times", open=bool(listing.rows))
    forms = [form for form, _ in times.forms.most_common(4)]
    shown = listing.names.path([name])
    found = f"{' and '.join(forms)}, in {shown}"
    if times.unreadable:
        found += f"; {counted(times.unreadable, 'value')} could not be read"
    advice = ""
    if expected and name != expected:
        advice = f"The provider looks at {expected}: such rows count as undated. Report this finding."
    return Finding(found, {"field": shown, "forms": forms}, advice)


def _time_zone(leads: Listing) -> Finding:
    evidence, current, now = leads.zone, leads.connection.times.timezone, leads.first_at
    assumed = f"{current} where times name no zone"
    if not leads.times.forms or now is None:
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
        return f"{said_offset(evidence.exact)}, from {leads} that came between two reads{hints}"
    newest = f"read as UTC, the newest lead or session {'lies' if ahead > FUTURE else 'is'} {said_span(ahead)}"
    if evidence.least is not None:
        return f"{newest} in the future: the zone is {said_offset(evidence.least)} or east of it{hints}"
    if ahead < -_HALF_A_DAY:
        return f"{newest} old, which does not show the zone{hints}"
    return f"{newest} {'old' if ahead < 0 else 'ahead'}: the zone lies no more than that west of UTC{hints}"


# ------------------------------------------------------------------------------------------------------------ rows
def _ids(listing: Listing) -> Finding:
    kinds = listing.counts["ids"]
    return Finding(with_counts(kinds), dict(kinds)) if set(kinds) - {"none"} else Finding("rows have no id", {})


def _duplicates(listing: Listing) -> Finding:
    within, between = listing.repeated_within, listing.repeated_between
    found = f"{within} within a page, {between} on a later page" if within + between else "none"
    return Finding(found, {"within": within, "between": between})


def _fields(listing: Listing) -> Finding:
    names, objects = listing.names, listing.rows - listing.no_objects
    always = [name for name, kinds in listing.fields.items() if kinds.total() == objects]
    sometimes = [name for name in listing.fields if name not in always]
    found = f"in every row: {', '.join(names.many(always)) or 'none'}"
    if sometimes:
        found += f"; in some: {', '.join(names.many(sometimes))}"
    if listing.no_objects:
        found += f"; {counted(listing.no_objects, 'row')} no objects"
    return Finding(found, {name: dict(kinds) for name, kinds in listing.fields.items() if names.shows(name)})


def _expected_fields(listing: Listing) -> Finding | None:
    if listing.rows == listing.no_objects:
        return None
    labels = ("lacking", "further ones")
    return _differing(listing, [one.name for one in listing.resource.sent], labels, "all there, and no others")


def _columns(leads: Listing) -> Finding | None:
    declared = leads.shape.columns
    if not leads.rows:
        return None
    if declared is None:
        return Finding("the answer declares none")
    labels = ("declared, but in no row", "in rows, but not declared")
    return _differing(leads, declared, labels, f"{counted(len(declared), 'column')}, just the fields of the rows")


def _differing(listing: Listing, expected: Sequence[str], labels: tuple[str, str], same: str) -> Finding:
    lacking = listing.names.many(name for name in expected if name not in listing.fields)
    further = listing.names.many(name for name in listing.fields if name not in expected)
    parts = [f"{label}: {', '.join(names)}" for label, names in zip(labels, (lacking, further), strict=True) if names]
    return Finding("; ".join(parts) or same, {"lacking": lacking, "further": further})


def _lead_data(leads: Listing) -> Finding | None:
    kinds, entries = leads.counts["lead_data"], leads.counts["entries"]
    if not kinds:
        return None
    found = f"{with_counts(kinds)}, with {counted(entries.total(), 'field')} in all"
    if strange := Counter({kind: number for kind, number in entries.items() if kind != "object"}):
        found += f"; among them {with_counts(strange)} instead of objects"
    return Finding(found, {"kinds": dict(kinds), "fields": entries.total()})


def _form_fields(leads: Listing) -> Finding | None:
    if not leads.counts["entries"]:
        return None
    names = leads.names.many(sorted(leads.counts["form names"]))
    types, values, different = leads.counts["form types"], leads.counts["form values"], len(leads.counts["labels"])
    repeating = f"; names repeat within {counted(leads.repeating, 'lead')}" if leads.repeating else ""
    return Finding(
        f"of {', '.join(names)}; types {with_counts(types)}; values {with_counts(values)}{repeating}; "
        f"{counted(different, 'different field name')}",
        {
            "made_of": names,
            "types": dict(types),
            "values": dict(values),
            "leads_with_repeated_names": leads.repeating,
            "different_names": different,
        },
    )


def _form_field_names(leads: Listing) -> Finding | None:
    labels = leads.counts["labels"]
    if not leads.names.reveal or not leads.counts["entries"]:
        return None
    shown = [(name, number) for name, number in labels.most_common() if leads.names.shows(name)][:MOST_SHOWN]
    rest = labels.total() - sum(number for _, number in shown)
    said = [f"{name} ({number})" for name, number in shown] + ([f"not shown ({rest})"] if rest else [])
    return Finding(", ".join(said), said)


def _changes(leads: Listing) -> Finding:
    second = leads.second
    if not isinstance(second, dict):
        why = second.what if second is not None else "there are no leads to compare"
        return Finding(f"not compared: {why}", open=second is not None)
    span, changed, compared = said_span(second["seconds"]), second["changed"], second["unchanged"] + second["changed"]
    found = f"not seen to change in {span}"
    if changed or second["vanished"]:
        found = f"{changed} changed and {second['vanished']} vanished in {span}"
    later = "Changes later on show with --wait and some minutes."
    return Finding(
        f"{counted(compared, 'lead')}: {found}; {second['new']} new",
        second,
        "" if changed or second["seconds"] >= FUTURE else later,
        answers=2,
        rows=compared,
    )


def _speakers(listing: Listing) -> Finding:
    # A field such as type or source need not be about the speaker at all.
    fields = {name: words for name, words in listing.speakers.items() if set(words) != {"another word"}}
    value = {listing.names.path([name]): dict(words) for name, words in fields.items()}
    found = "; ".join(f"{listing.names.path([name])}: {with_counts(words)}" for name, words in fields.items())
    return Finding(found or "no known field names it", value)


def _length(messages: Listing) -> Finding:
    found = f"{counted(messages.rows, 'message')} in {counted(messages.reads, 'session')}"
    return Finding(found, {"messages": messages.rows, "sessions": messages.reads})


def _message_id(messages: Listing) -> Finding:
    names = messages.names.many(messages.id_fields)
    return Finding(f"under {', '.join(names)}" if names else "none", names)


def _text(messages: Listing) -> Finding:
    names = [name for name in MESSAGE_TEXTS if name in messages.fields]
    return Finding(f"under {', '.join(names)}" if names else "not under a name that is known", names)


# ------------------------------------------------------------------------------------------------------- the table
_EVERY: Final = "leads sessions messages"
_BOTH: Final = "leads sessions"
_TIMES: Final = "YYYY-MM-DD HH:MM:SS or with a zone or as epoch"
#: In the order of the report. Path and envelope come first: a listing that cannot be read has no other findings.
_QUESTIONS: Final = (
    Question(_EVERY, "path", _path),
    Question("leads", "envelope", _envelope, "data.report.rows, or under rows or leads"),
    Question("sessions", "envelope", _envelope, "a bare array, or sessions, rows or the only array"),
    Question("messages", "envelope", _envelope, "a bare array, or messages, chats, rows or the only array"),
    Question(_BOTH, "page size", _page_size),
    Question("messages", "length", _length),
    Question(_EVERY, "order", _order),
    Question(_EVERY, "next page", _next_page, "next_page_token or nextPageToken, anywhere outside the rows"),
    Question("leads", "foreseeable tokens", _foreseen),
    Question(_EVERY, "end", _end, "absent, null and empty all end a listing"),
    Question(_BOTH, "total count", _total, "none"),
    Question("leads", "times", _times, f"{LEADS.time}, {_TIMES}"),
    Question("sessions", "times", _times, f"{SESSIONS.time}, {_TIMES}"),
    Question("messages", "times", _times, "no field in particular"),
    Question("leads", "time zone", _time_zone),
    Question("leads", "ids", _ids, f"{LEADS.id}, text or a whole number"),
    Question("sessions", "ids", _ids, f"{SESSIONS.id}, text or a whole number"),
    Question("messages", "message id", _message_id, "none: a hash of the row stands for it"),
    Question("messages", "text", _text, ", ".join(MESSAGE_TEXTS)),
    Question(_BOTH, "duplicates", _duplicates, "the same row lands once"),
    Question("leads", "fields", _fields, ", ".join(one.name for one in LEADS.sent)),
    Question("sessions", "fields", _fields, ", ".join(one.name for one in SESSIONS.sent)),
    Question("messages", "fields", _fields, "none in particular"),
    Question(_BOTH, "expected fields", _expected_fields, "further fields land as they come"),
    Question("leads", "columns", _columns, "not read"),
    Question("leads", "lead_data", _lead_data, "anything; it lands as it came"),
    Question("leads", "form fields", _form_fields, "field_name, field_type, field_value"),
    Question("leads", "form field names", _form_field_names, "any"),
    Question("leads", "changes", _changes, "a lead may change; a full read lands its newest state"),
    Question("sessions", "directions", _speakers),
    Question("messages", "speakers", _speakers),
    Question(
        "answers", "rate limit headers", others.limit_headers, "Retry-After in seconds or as a date, and no others"
    ),
    Question("answers", "rate limits met", others.limits_met, "unknown; answers with 429 are sent again"),
    Question("answers", "statuses", others.statuses, "2xx is success unless the body says otherwise"),
    Question("answers", "errors", others.errors, "documented shape 1 or 2; others are read by their status"),
    Question("answers", "clock", others.clock, "the Date header, where there is one"),
)

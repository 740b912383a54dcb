"""What is said of leads alone: their columns, and whether one that was read changes later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.probe.finding import counted
from airflow_provider_robofy.probe.shapes import NO_ROWS
from airflow_provider_robofy.probe.times import FUTURE, offset_of, said_offset, said_span

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_robofy.probe.failure import Failure
    from airflow_provider_robofy.probe.finding import Finding
    from airflow_provider_robofy.probe.lead_data import LeadDataStudy
    from airflow_provider_robofy.probe.listings import Teller
    from airflow_provider_robofy.probe.times import ZoneEvidence

_HALF_A_DAY = 12 * 3600
FIELDS = ("id", "created_at", "source", "page_url", "ip_address", "lead_data")


@dataclass(frozen=True, slots=True)
class Second:
    """Hold what a second look at the first page of leads showed.

    :param seconds: Between the two looks.
    :param same: Leads that were on it both times, unchanged.
    :param changed: Those whose content differs.
    :param new: Leads that no page had before.
    :param gone: Leads that are missing, and that no new one can have pushed onto the next page.
    """

    seconds: float
    same: int
    changed: int
    new: int
    gone: int


def compare(
    before: dict[bytes, tuple[bytes, Any]],
    everything: set[bytes],
    after: dict[bytes, tuple[bytes, Any]],
    seconds: float,
) -> Second:
    """Compare the first page with itself some time later.

    :param before: Hash of each id to hash of its row, and time; likewise ``after``.
    :param everything: Hashes of all ids that were read before, on any page.
    :param seconds: Between the two looks.
    """
    both = before.keys() & after.keys()
    changed = sum(before[name][0] != after[name][0] for name in both)
    new = len(after.keys() - everything)
    gone = max(len(before.keys() - after.keys()) - new, 0)
    return Second(seconds, len(both) - changed, changed, new, gone)


def columns(teller: Teller) -> list[Finding]:
    """Say whether the declared columns are the fields of rows."""
    envelope = teller.seen.envelope
    if envelope is None or not teller.study.rows:
        return []
    if envelope.columns is None:
        return [teller.tell("columns", "the answer declares none", value=None, assumed="not looked at")]
    declared, there = list(envelope.columns), list(teller.study.fields)
    lacking = [name for name in declared if name not in there]
    further = [name for name in there if name not in declared]
    parts = [f"declared, but in no row: {', '.join(teller.names.many(lacking))}"] if lacking else []
    parts += [f"in rows, but not declared: {', '.join(teller.names.many(further))}"] if further else []
    return [
        teller.tell(
            "columns",
            "; ".join(parts) or f"{counted(len(declared), 'column')}, just the fields of the rows",
            value={"lacking": teller.names.many(lacking), "further": teller.names.many(further)},
            assumed="not looked at",
        )
    ]


def zone(teller: Teller, evidence: ZoneEvidence, current: str, now: datetime) -> Finding:
    """Say what is known of the zone of times that name none.

    :param evidence: What leads, sessions and the account tell.
    :param current: Zone that the connection sets.
    :param now: The server's clock.
    """
    assumed = f"{current} where times name no zone"
    if not teller.study.times.read:
        return teller.tell("time zone", "unknown: there are no times to read", assumed=assumed)
    if not teller.naive():
        return teller.tell("time zone", "times say their zone themselves", value="in the times", assumed=assumed)
    set_to, exact = offset_of(current, now), evidence.exact
    value = {"hints": sorted(evidence.hints), "exact_offset": exact, "least_offset": evidence.least}
    found = _zone_found(evidence)
    right = set_to == exact if exact is not None else set_to >= (evidence.ahead or 0) - FUTURE
    better = evidence.zone(now)
    if not right and better is not None:
        return teller.tell(
            "time zone",
            found,
            value=value,
            assumed=assumed,
            advice=f"Set timezone to {better}, or to the IANA name of your own zone with that offset.",
            settings={"timezone": better},
        )
    advice = "" if exact is not None and right else "To know it, probe with --wait 3 and make a lead meanwhile."
    if not right:
        advice = f"The zone that is set cannot be right. {advice}"
    elif advice and (others := [name for name in sorted(evidence.hints) if offset_of(name, now) != set_to]):
        advice = f"If times are written in {' or '.join(others)}, set timezone so. {advice}"
    return teller.tell("time zone", found, value=value, assumed=assumed, advice=advice, open=not right)


def _zone_found(evidence: ZoneEvidence) -> str:
    hints = f"; the account names {' and '.join(sorted(evidence.hints))}" if evidence.hints else ""
    ahead = evidence.ahead or 0.0
    if evidence.exact is not None:
        leads = counted(len(evidence.fresh), "lead")
        return f"{said_offset(evidence.exact)}, from {leads} that came between two looks{hints}"
    newest = f"read as UTC, the newest lead or session {'lies' if ahead > FUTURE else 'is'} {said_span(ahead)}"
    if evidence.least is not None:
        return f"{newest} in the future: the zone is {said_offset(evidence.least)} or east of it{hints}"
    if ahead < -_HALF_A_DAY:
        return f"{newest} old, which tells nothing of the zone{hints}"
    return f"{newest} {'old' if ahead < 0 else 'ahead'}: the zone lies no more than that west of UTC{hints}"


def changes(teller: Teller, second: Second | Failure | None) -> Finding:
    """Say whether leads that were read changed, as far as was waited for."""
    assumed = "a lead may change; a full read lands it as it is then"
    if not isinstance(second, Second):
        why = f"not looked: {second.what}" if second is not None else "not looked: there are no leads to compare"
        return teller.tell("changes", why, assumed=assumed, open=second is not None)
    span = said_span(second.seconds)
    if not second.changed and not second.gone:
        found = f"not seen to change in {span}"
    else:
        found = f"{second.changed} changed and {second.gone} vanished in {span}"
    advice = "" if second.seconds >= FUTURE or second.changed else "Changes later on show with --wait and some minutes."
    return teller.tell(
        "changes",
        f"{counted(second.same + second.changed, 'lead')}: {found}; {second.new} new",
        value={
            "seconds": round(second.seconds),
            "unchanged": second.same,
            "changed": second.changed,
            "vanished": second.gone,
            "new": second.new,
        },
        pages=2,
        rows=second.same + second.changed,
        assumed=assumed,
        advice=advice,
    )


def findings(
    teller: Teller, data: LeadDataStudy, *, order: str, zone_finding: Finding, change: Finding
) -> list[Finding]:
    """Say all that is known of leads, in order."""
    if teller.seen.failure is not None:
        return [teller.path()]
    if teller.seen.trouble == NO_ROWS:
        return [teller.path(), teller.wrapping("data.report.rows")]
    return [
        teller.path(),
        teller.wrapping("data.report.rows, or under rows or leads"),
        teller.page_size(),
        teller.order("leads_order", order),
        teller.token(),
        teller.end(),
        teller.totals(),
        teller.time_form("created_at"),
        zone_finding,
        teller.ids("id"),
        teller.repeated(),
        *teller.fields(FIELDS),
        *columns(teller),
        *data.findings(teller),
        change,
    ]

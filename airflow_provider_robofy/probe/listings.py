"""What is said of any listing: where it answers, what it comes in, its pages, order, times, ids and fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.extract.rows import MIXED, NEWEST_FIRST, OLDEST_FIRST
from airflow_provider_robofy.probe.failure import MISSING
from airflow_provider_robofy.probe.finding import Finding, counted
from airflow_provider_robofy.probe.shapes import NO_ROWS, UNKNOWN_TOKEN, Envelope
from airflow_provider_robofy.probe.times import is_naive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_robofy.probe.listing import ListingSeen
    from airflow_provider_robofy.probe.words import Names

#: Rows and pages from which on a setting rests on enough.
ENOUGH_ROWS: Final = 20
ENOUGH_PAGES: Final = 2
_ORDERS: Final = {NEWEST_FIRST: "newest first", OLDEST_FIRST: "oldest first", MIXED: "mixed"}
_MARKERS: Final = {"absent": "the token is absent", "null": "the token is null", "empty": "the token is empty"}


class Teller:
    """Make the findings of one listing.

    :param topic: Topic of the findings.
    :param seen: What was seen.
    :param names: Which names may be said.
    """

    def __init__(self, topic: str, seen: ListingSeen, names: Names) -> None:
        self.topic = topic
        self.seen = seen
        self.study = seen.study
        self.names = names

    def tell(self, name: str, found: str, **more: Any) -> Finding:
        """Make a finding that rests on all that was seen of the listing."""
        basis: dict[str, Any] = {"pages": self.study.pages, "rows": self.study.rows}
        return Finding(topic=self.topic, name=name, found=found, **(basis | more))

    def path(self) -> Finding:
        """Say where the listing answers."""
        usual = ENDPOINTS[self.seen.endpoint][1]
        if self.seen.failure is not None:
            failure = self.seen.failure
            advice = failure.advice
            if failure.kind == MISSING and not failure.thing:
                advice = (
                    f"Ask Robofy's support for the path, and set it in the extra endpoints as {self.seen.endpoint!r}."
                )
            return self.tell("path", f"no answer: {failure.what}", assumed=usual, advice=advice, open=True)
        if self.seen.elsewhere is not None:
            return self.tell(
                "path",
                f"not there, but under {self.seen.elsewhere}",
                value=self.seen.elsewhere,
                assumed=usual,
                advice="Set it in the extra endpoints.",
                settings={"endpoints": {self.seen.endpoint: self.seen.elsewhere}},
            )
        return self.tell("path", "answers", value="answers", assumed=usual)

    def wrapping(self, assumed: str) -> Finding:
        """Say what the rows come in."""
        envelope = self.seen.envelope or Envelope("null")
        if self.seen.trouble == NO_ROWS:
            return self.tell(
                "envelope",
                f"a list of rows was not found in the answer, which is of type {envelope.kind}",
                value=None,
                assumed=assumed,
                advice="The provider cannot read this listing. Report it to the provider with this finding.",
                open=True,
            )
        at = envelope.rows_at
        place = "a bare array" if at == () else f"rows under {self.names.path(at)}" if at else "rows, at an odd place"
        beside = [name for name in envelope.beside if at and name != at[-1]]
        found = place + (f"; beside them {', '.join(self.names.many(beside))}" if beside else "")
        return self.tell("envelope", found, value=None if at is None else self.names.path(at), assumed=assumed)

    def token(self) -> Finding:
        """Say how a page points to the next one."""
        assumed = "next_page_token or nextPageToken, anywhere outside the rows"
        envelope = self.seen.announcing
        if self.seen.trouble == UNKNOWN_TOKEN and self.seen.envelope is not None:
            ways = sorted({self.names.path(way) for way in self.seen.envelope.pointers_at})
            return self.tell(
                "next page",
                f"{', '.join(ways)} seems to point to a next page in a way that the provider does not know",
                value=ways,
                assumed=assumed,
                advice="The provider refuses to read this listing, so as to lose nothing. Report it to the provider.",
                open=True,
            )
        if envelope is not None and envelope.token_at is not None:
            circle = ", which leads back to an earlier page" if self.seen.circular else ""
            at = self.names.path(envelope.token_at)
            return self.tell(
                "next page",
                f"a token under {at}{circle}",
                value=at,
                assumed=assumed,
                advice="Reads of this listing will fail. Give this to Robofy's support." if circle else "",
            )
        return self.tell("next page", f"none was announced on {counted(self.study.pages, 'page')}", assumed=assumed)

    def end(self) -> Finding:
        """Say how the last page is marked."""
        assumed = "absent, null and empty all end a listing"
        markers = sorted(set(self.seen.end_markers))
        if not markers:
            why = f": {self.seen.stopped.what}" if self.seen.stopped else ""
            return self.tell("end", f"not reached{why}", assumed=assumed, open=bool(self.seen.stopped))
        found = "; ".join(_MARKERS[marker] for marker in markers)
        return self.tell("end", found, value=markers, pages=len(self.seen.end_markers), rows=0, assumed=assumed)

    def page_size(self) -> Finding:
        """Say how many rows are on a page."""
        sizes = self.study.sizes
        full = sizes[:-1] if self.seen.announcing is not None and self.seen.end_markers else sizes
        assumed = "nothing"
        if self.seen.announcing is None or not full:
            found = f"{counted(sum(sizes), 'row')}, all on one page" if sizes else "unknown"
            return self.tell("page size", found, value=None, assumed=assumed)
        if len(set(full)) == 1:
            return self.tell(
                "page size",
                f"{counted(full[0], 'row')}",
                value=full[0],
                pages=len(full),
                rows=sum(full),
                assumed=assumed,
            )
        return self.tell("page size", f"varies from {min(full)} to {max(full)} rows", value=[min(full), max(full)])

    def totals(self) -> Finding:
        """Say whether the listing's length is told."""
        ways = [self.names.path(way) for way in (self.seen.envelope or Envelope("null")).totals_at]
        found = f"a number under {', '.join(ways)}" if ways else "not told"
        return self.tell("total count", found, value=ways, assumed="none")

    def order(self, setting: str, current: str) -> Finding:
        """Say in which order the rows come, and what to set.

        :param setting: Extra that says so to the provider, or empty where there is none.
        :param current: What it says now.
        """
        times = self.study.times
        verdict = times.order
        basis = f" ({counted(len(times.distinct), 'different time')})"
        assumed = current if setting else "nothing"
        if verdict not in _ORDERS:
            found = "unknown: " + ("all times are equal" if times.read > 1 else "there are too few times")
            return self.tell("order", found, value="unknown", assumed=assumed)
        found = _ORDERS[verdict] + basis
        if setting and verdict == NEWEST_FIRST and current != NEWEST_FIRST:
            if self.study.pages < ENOUGH_PAGES or self.study.rows < ENOUGH_ROWS:
                advice = f"Too few rows to set {setting}; it would spare a listing as short as this nothing."
                return self.tell("order", found, value=verdict, assumed=assumed, advice=advice)
            advice = f"Set {setting}: windows and cursors then stop reading early."
            return self.tell(
                "order", found, value=verdict, assumed=assumed, advice=advice, settings={setting: NEWEST_FIRST}
            )
        if setting and verdict != NEWEST_FIRST and current == NEWEST_FIRST:
            advice = f"Take {setting} back: reads warn and go to the end each time."
            return self.tell(
                "order", found, value=verdict, assumed=assumed, advice=advice, settings={setting: "unknown"}
            )
        return self.tell("order", found, value=verdict, assumed=assumed)

    def time_form(self, expected: str = "") -> Finding:
        """Say how times are written.

        :param expected: The field that the provider takes a row's time from, or empty for none.
        """
        times, name = self.study.times, self.study.time_field
        assumed = (
            f"{expected}, YYYY-MM-DD HH:MM:SS or with a zone or as epoch" if expected else "no field in particular"
        )
        if name is None:
            return self.tell("times", "no field with readable times", assumed=assumed, open=bool(self.study.rows))
        forms = [form for form, _ in times.forms.most_common(4)]
        found = f"{' and '.join(forms)}, in {self.names.one(name)}"
        if times.unreadable:
            found += f"; {counted(times.unreadable, 'value')} could not be read"
        advice = ""
        if expected and name != expected:
            advice = f"The provider looks at {expected}: such rows count as undated. Report this finding."
        return self.tell(
            "times", found, value={"field": self.names.one(name), "forms": forms}, assumed=assumed, advice=advice
        )

    def fields(self, expected: Sequence[str]) -> list[Finding]:
        """Say which fields rows have, and where those expected are not there."""
        seen, rows = self.study.fields, self.study.rows - self.study.no_objects
        always = [name for name, one in seen.items() if one.rows == rows]
        sometimes = [name for name in seen if name not in always]
        found = f"in every row: {', '.join(self.names.many(always)) or 'none'}"
        if sometimes:
            found += f"; in some: {', '.join(self.names.many(sometimes))}"
        if self.study.no_objects:
            found += f"; {counted(self.study.no_objects, 'row')} no objects"
        value = {self.names.one(name): dict(one.kinds) for name, one in seen.items() if self.names.one(name) != "?"}
        missing = [name for name in expected if name not in seen]
        more = [name for name in seen if name not in expected]
        findings = [self.tell("fields", found, value=value, assumed=", ".join(expected) or "none in particular")]
        if expected and rows:
            parts = [f"lacking: {', '.join(missing)}"] if missing else []
            parts += [f"further ones: {', '.join(self.names.many(more))}"] if more else []
            findings.append(
                self.tell(
                    "expected fields",
                    "; ".join(parts) or "all there, and no others",
                    value={"lacking": missing, "further": self.names.many(more)},
                    assumed="further fields land as they come",
                )
            )
        return findings

    def ids(self, expected: str) -> Finding:
        """Say of which type ids are, and whether rows come twice."""
        kinds = self.study.id_kinds
        if not self.study.rows or set(kinds) <= {"none"}:
            found, value = "rows bear no id", {}
        else:
            found = ", ".join(f"{kind} ({number:,})" for kind, number in kinds.items())
            value = dict(kinds)
        return self.tell("ids", found, value=value, assumed=f"{expected}, text or a whole number")

    def repeated(self) -> Finding:
        """Say whether the same id came twice."""
        within, between = self.study.repeated_within, self.study.repeated_between
        found = "none" if not within + between else f"{within} within a page, {between} on a later page"
        value = {"within": within, "between": between}
        return self.tell("duplicates", found, value=value, assumed="the same row lands once")

    def naive(self) -> bool:
        """Tell whether times name no zone."""
        return any(map(is_naive, self.study.times.forms))

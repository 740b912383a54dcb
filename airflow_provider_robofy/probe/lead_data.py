"""What is in the forms that visitors fill in: how many fields, of which types, and nothing that was typed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.probe.finding import counted, kind_of
from airflow_provider_robofy.probe.words import FIELD_TYPES, word

if TYPE_CHECKING:
    from airflow_provider_robofy.probe.finding import Finding
    from airflow_provider_robofy.probe.listings import Teller

_EXPECTED = ("field_name", "field_type", "field_value")
_MOST_LABELS = 300


class LeadDataStudy:
    """Take rows of leads and count what their ``lead_data`` is made of."""

    def __init__(self) -> None:
        self.leads = self.entries = self.repeating = 0
        self.kinds: Counter[str] = Counter()
        self.entry_kinds: Counter[str] = Counter()
        self.entry_names: Counter[str] = Counter()
        self.types: Counter[str] = Counter()
        self.value_kinds: Counter[str] = Counter()
        #: What makers of forms call their fields. Said only on demand.
        self.labels: Counter[str] = Counter()

    def take(self, rows: list[Any]) -> None:
        """Take the rows of a page."""
        for row in rows:
            if isinstance(row, dict):
                self._take(row.get("lead_data"))

    def _take(self, data: Any) -> None:
        self.leads += 1
        self.kinds[kind_of(data)] += 1
        names: list[str] = []
        for entry in data if isinstance(data, list) else ():
            self.entries += 1
            self.entry_kinds[kind_of(entry)] += 1
            if not isinstance(entry, dict):
                continue
            self.entry_names.update(name for name in map(str, entry) if len(self.entry_names) < _MOST_LABELS)
            self.types[word(entry.get("field_type"), FIELD_TYPES) or "another word"] += 1
            self.value_kinds[kind_of(entry.get("field_value"))] += 1
            names.append(str(entry.get("field_name")))
        self.repeating += len(set(names)) < len(names)
        self.labels.update(name for name in names if len(self.labels) < _MOST_LABELS or name in self.labels)

    def findings(self, teller: Teller) -> list[Finding]:
        """Say what was counted."""
        if not self.leads:
            return []
        found = f"{_said(self.kinds)}, with {counted(self.entries, 'field')} in all"
        if strange := {kind: number for kind, number in self.entry_kinds.items() if kind != "object"}:
            found += f"; among them {_said(Counter(strange))} instead of objects"
        findings = [
            teller.tell(
                "lead_data",
                found,
                value={"kinds": dict(self.kinds), "fields": self.entries},
                assumed="anything; it lands as it came",
            )
        ]
        if not self.entries:
            return findings
        names = teller.names.many(sorted(self.entry_names))
        repeating = f"; names repeat within {counted(self.repeating, 'lead')}" if self.repeating else ""
        findings.append(
            teller.tell(
                "form fields",
                f"of {', '.join(names)}; types {_said(self.types)}; values {_said(self.value_kinds)}{repeating}; "
                f"{counted(len(self.labels), 'different field name')}",
                value={
                    "made_of": names,
                    "types": dict(self.types),
                    "values": dict(self.value_kinds),
                    "leads_with_repeated_names": self.repeating,
                    "different_names": len(self.labels),
                },
                assumed=", ".join(_EXPECTED),
            )
        )
        if teller.names.reveal:
            said = teller.names.counts(dict(self.labels.most_common()))
            findings.append(teller.tell("form field names", ", ".join(said), value=said, assumed="any"))
        return findings


def _said(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({number:,})" for name, number in counts.most_common())

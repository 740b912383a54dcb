"""What is said of answers in general: rate limits, errors, clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.probe.finding import Finding
from airflow_provider_robofy.probe.times import SLACK, said_span

if TYPE_CHECKING:
    from collections import Counter

    from airflow_provider_robofy.probe.wire import Wire


def findings(wire: Wire) -> list[Finding]:
    """Say what was seen beside the content of answers."""
    answers = wire.statuses.total()
    if not answers:
        return []

    def tell(name: str, found: str, **more: Any) -> Finding:
        basis: dict[str, Any] = {"pages": answers}
        return Finding(topic="answers", name=name, found=found, **(basis | more))

    statuses = {str(status): number for status, number in sorted(wire.statuses.items())}
    limits = [f"{name}: {value}" for name, value in sorted(wire.limits.items())]
    slowed = wire.statuses[429]
    found = [
        tell(
            "rate limit headers",
            "; ".join(limits) or "none",
            value=wire.limits,
            assumed="Retry-After in seconds or as a date, and no others",
            advice="If these tell a budget, set requests_per_minute to your share of it." if limits else "",
        ),
        tell(
            "rate limits met",
            f"{slowed} times, with Retry-After {_said(wire.retry_after)}" if slowed else "none at this pace",
            value={"times": slowed, "retry_after": dict(wire.retry_after)},
            assumed="unknown; answers with 429 are sent again",
            advice="Set requests_per_minute, or put tasks into a pool." if slowed else "",
        ),
        tell("statuses", _said(wire.statuses), value=statuses, assumed="2xx is success unless the body says otherwise"),
    ]
    if wire.error_shapes:
        number = wire.error_shapes.total()
        found.append(
            tell(
                "errors",
                _said(wire.error_shapes),
                value=dict(wire.error_shapes),
                pages=number,
                assumed="documented shape 1 or 2; others are read by their status",
            )
        )
    if wire.clock_ahead is not None:
        ahead = wire.clock_ahead
        side = "ahead of" if ahead > 0 else "behind"
        off = abs(ahead) > SLACK
        found.append(
            tell(
                "clock",
                f"{said_span(ahead)} {side} this machine's" if off else "agrees with this machine's",
                value=round(ahead),
                assumed="the Date header, where there is one",
                advice="Set the clock of this machine: windows without an end reach until its now." if off else "",
            )
        )
    else:
        found.append(tell("clock", "unknown: answers bear no Date header", assumed="then this machine's"))
    return found


def _said(counts: Counter[int] | Counter[str]) -> str:
    return ", ".join(f"{name} ({number:,})" for name, number in sorted(counts.items(), key=str))

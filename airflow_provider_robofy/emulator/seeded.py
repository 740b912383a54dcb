"""Realistic data from a seed alone, without clock or state: any row by its number."""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.emulator import words

if TYPE_CHECKING:
    from collections.abc import Callable

# 2025-01-15 10:30:00 UTC, the time in Robofy's own sample. All seeded rows lie at or before it.
BASE = 1_736_937_000
_MASK = 2**64 - 1


def mix(seed: int, number: int) -> int:
    """Scatter two numbers into 64 bits (the finishing steps of SplitMix64): equal input, equal output.

    :param seed: Which sequence.
    :param number: Which member of it.
    """
    bits = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    return bits ^ (bits >> 31)


def chatbot_id(seed: int, index: int) -> str:
    """Return an agent's opaque id; the third agent's has the characters that a path must escape.

    :param seed: The emulator's seed.
    :param index: The agent's number from 0.
    """
    digest = hashlib.sha256(f"agent {seed} {index}".encode()).digest()
    text = base64.urlsafe_b64encode(digest[:31]).decode().rstrip("=")
    return f"{text[:12]}/{text[12:24]}+{text[24:38]}==" if index == 2 else text


def session_id(key: int, index: int, *, mixed: bool = True) -> str:
    """Return a session's id: mostly UUIDs, some phone numbers, now and then one with every character that needs care.

    :param key: The seed of this agent's sessions.
    :param index: The session's number from 0.
    :param mixed: False makes all of them UUIDs.
    """
    if mixed and index % 4 == 1:
        return f"+4915{(112345678 + index * 7919 + key % 1000 * (index > 1)):09d}"
    if mixed and index % 20 == 7:
        return f"guest/{index} a+b=c%41?ü太&#"
    return str(uuid.UUID(int=(mix(key, index) << 64) | mix(key + 1, index), version=4))


def person(bits: int) -> tuple[str, str]:
    """Return a name and a mail address that goes with it.

    :param bits: Where the choice comes from.
    """
    first, first_slug = words.FIRST_NAMES[bits % len(words.FIRST_NAMES)]
    last, last_slug = words.LAST_NAMES[(bits >> 8) % len(words.LAST_NAMES)]
    domain = words.MAIL_DOMAINS[(bits >> 16) % len(words.MAIL_DOMAINS)]
    return f"{first} {last}", f"{first_slug}.{last_slug}{(bits >> 20) & 0xFF}@{domain}"


def lead(key: int, number: int, lead_id: str, created_at: str | int) -> dict[str, Any]:
    """Return one row of List Leads.

    :param key: The seed of this agent's leads.
    :param number: The lead's number, counted from the oldest.
    :param lead_id: What its `id` says.
    :param created_at: Its time, already written as the API writes it.
    """
    bits = mix(key, number)
    name, mail = person(bits)
    kind = (bits >> 28) & 0x1F
    data: list[tuple[str, str, Any]] = [("name", "text", name), ("email", "email", mail)]
    if kind < 18:
        data.append(("phone", "phone", f"+49151{bits >> 38:08d}"[:14]))
    if kind % 2:
        data.append(("message", "textarea", words.QUESTIONS[(bits >> 33) % len(words.QUESTIONS)]))
    if kind in _ODD_FIELDS:
        data.extend(_ODD_FIELDS[kind](bits >> 40))
    return {
        "id": lead_id,
        "created_at": created_at,
        "source": words.SOURCES[(bits >> 44) % len(words.SOURCES)],
        "page_url": f"https://example.com/{words.PAGES[(bits >> 48) % len(words.PAGES)]}",
        "ip_address": f"203.0.113.{(bits >> 52) & 0xFF}",
        "lead_data": [{"field_name": name, "field_type": kind, "field_value": value} for name, kind, value in data],
    }


# Fields that make lead_data as free-form as the real one: repeated names, values that are no strings.
_ODD_FIELDS: dict[int, Callable[[int], list[tuple[str, str, Any]]]] = {
    2: lambda bits: [("interest", "select", words.INTERESTS[(bits + more) % 7]) for more in (0, 3)],
    5: lambda bits: [("team_size", "number", bits % 400 + 1)],
    9: lambda bits: [("newsletter", "checkbox", bits % 2 == 0)],
    13: lambda bits: [("company", "text", words.COMPANIES[bits % 6])],
    19: lambda _: [("phone", "phone", None)],
    22: lambda bits: [("topics", "multi", list(words.INTERESTS[: bits % 4]))],
    26: lambda bits: [("budget", "number", (bits % 90_000) / 4)],
    30: lambda bits: [
        ("Größe (m²) ☀️", "text", f"{bits % 300}"),
        ("address", "group", {"city": "Zürich", "zip": "8001"}),
    ],
}


def sentence(key: int, number: int, *, question: bool) -> str:
    """Return what is said in a message.

    :param key: The seed of the conversation.
    :param number: The message's place in it.
    :param question: True for the visitor's words, False for the agent's.
    """
    choice = words.QUESTIONS if question else words.ANSWERS
    return choice[mix(key, number) % len(choice)]

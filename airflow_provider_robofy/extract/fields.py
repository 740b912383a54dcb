"""Names of fields in the many ways that they are written, and values that are JSON in a text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final
from unicodedata import category, normalize

from airflow_provider_robofy.api.codec import loads_answer

#: What nobody sees, besides Unicode's category Cf (format): joiners, fillers, variation selectors.
_FILLERS: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
#: Turkish has an i with a dot and one without, in both cases. The capital one with a dot, in lower case, is an i and a
#: second dot; the small one without a dot is a letter of its own.
_DOTTED: Final = re.compile("(i[\u0300-\u0306\u0308-\u036f]*)\u0307")
_DOTLESS: Final = "\N{LATIN SMALL LETTER DOTLESS I}"


def clean_name(name: str) -> str:
    """Return a name as it looks: in NFC, without invisible characters, and with single, plain spaces within.

    Control characters stay, to be refused where a database does not take them.

    :param name: A name, as somebody wrote it.
    """
    visible = _FILLERS.sub("", name)
    visible = "".join(" " if one.isspace() else one for one in visible if one.isspace() or category(one) != "Cf")
    return " ".join(normalize("NFC", visible).split())


@lru_cache(maxsize=4096)  # names come from outside, so there may be any number of them
def field_key(name: str) -> str:
    """Return the text by which two names of a field are the same, for privacy rules and columns alike.

    Case, Unicode form and width make no difference, nor do invisible characters and the kind and number of spaces, nor
    the Turkish dotted and dotless i. Accents do: ``telephone`` and ``téléphone`` are two names.

    :param name: A name, as somebody wrote it.
    """
    text = "".join(one for one in clean_name(name) if category(one) != "Cc")
    text = normalize("NFKD", clean_name(text))
    for _ in range(2):  # Unicode's compatibility caseless matching takes both steps twice
        text = normalize("NFKD", text.casefold())
    text = _DOTTED.sub(r"\1", text.replace(_DOTLESS, "i"))
    return " ".join(normalize("NFKC", text).split())


def opened(text: str) -> list[Any] | dict[str, Any] | None:
    """Return the list or object that a text contains as JSON, be it encoded once or several times, or None.

    For example::

        '[{"field_name": "Email", "field_value": "ada@example.com"}]'

    :param text: Any text.
    """
    if "[" not in text and "{" not in text:
        return None
    text = text.strip().strip("\ufeff\u200b\0").strip()
    if not text.startswith(("[", "{", '"')):
        return None
    try:
        value = loads_answer(text.encode(errors="surrogatepass"))
    except ValueError:
        return None
    if isinstance(value, str):
        return opened(value)
    return value if isinstance(value, list | dict) else None

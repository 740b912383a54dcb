"""Write docs/reference/arguments.md: every operator, sensor and trigger with its arguments, from the docstrings.

`make arguments` writes the page; a test compares it with the code. GitHub shows tables, but no generated API reference.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from airflow_provider_robofy.api.endpoints import ENDPOINTS

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "arguments.md"
PACKAGE: Final = "airflow_provider_robofy"
_PARAM: Final = re.compile(r"^:param (\w+): (.+?)(?=^:|^\S|\Z)", re.MULTILINE | re.DOTALL)
_ROLE: Final = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")

HEAD: Final = """# Operators and arguments

<!-- Written by scripts/arguments.py from the docstrings; do not edit. -->

`make arguments` writes this page anew. Operators and sensors also take the arguments of Airflow's
`BaseOperator` and `BaseSensorOperator`, such as `retries`, `pool` and `timeout`.

| class | endpoints | templated arguments | state between runs | needs |
|---|---|---|---|---|
"""


class Entry(NamedTuple):
    """What the first table has of a class, beside what the code tells.

    :param endpoints: Names of the endpoints that it calls.
    :param state: State that it keeps between runs.
    :param needs: What it needs beside the connection.
    """

    endpoints: tuple[str, ...]
    state: str = "none"
    needs: str = ""


_STORE: Final = "`output_path` or `landing_root`"
ENTRIES: Final = {
    "operators.leads.RobofyFetchLeadsOperator": Entry(("list_leads",), "cursor, if set", _STORE),
    "operators.inbox.RobofyFetchSessionsOperator": Entry(("list_sessions",), "cursor, if set", _STORE),
    "operators.inbox.RobofyFetchMessagesOperator": Entry(
        ("list_session_messages",), "none", f"a landed file of sessions, {_STORE}"
    ),
    "operators.snapshot.RobofySnapshotOperator": Entry(
        ("list_agents", "list_projects", "message_stats"), "none", _STORE
    ),
    "operators.cursors.RobofyAdvanceCursorOperator": Entry(
        (), "moves the cursor", "a fetch with `advance_cursor=False`"
    ),
    "operators.knowledge.RobofyUploadKnowledgeOperator": Entry(
        ("add_file", "add_text_content", "list_linked_assets"), "ledger", "for `deferrable`: triggerer"
    ),
    "operators.crawl.RobofyCrawlWebsiteOperator": Entry(
        ("add_website", "get_crawl_status"), "none", "for `deferrable`: triggerer"
    ),
    "operators.ask.RobofyAskAgentOperator": Entry(("send_message",), "none", f"questions, {_STORE}"),
    "transfers.manifest_to_sql.RobofyManifestToSqlOperator": Entry(
        (), "the table", "extra `sql`, a database connection and the database's provider"
    ),
    "sensors.leads.RobofyNewLeadsSensor": Entry(("list_leads",), "none", "for `deferrable`: triggerer"),
    "sensors.inbox.RobofyNewSessionsSensor": Entry(("list_sessions",), "none", "for `deferrable`: triggerer"),
    "sensors.knowledge.RobofyCrawlSensor": Entry(("get_crawl_status",), "none", "for `deferrable`: triggerer"),
    "sensors.knowledge.RobofyKnowledgeSensor": Entry(
        ("list_linked_assets",), "none", "the manifest of an upload; for `deferrable`: triggerer"
    ),
    "triggers.leads.RobofyNewLeadsTrigger": Entry(("list_leads",), "none", "triggerer"),
    "triggers.leads.RobofyNewLeadsEventTrigger": Entry(
        ("list_leads",), "reads the cursor of the asset", "Airflow 3.3, triggerer"
    ),
    "triggers.inbox.RobofyNewSessionsTrigger": Entry(("list_sessions",), "none", "triggerer"),
    "triggers.inbox.RobofyNewSessionsEventTrigger": Entry(
        ("list_sessions",), "reads the cursor of the asset", "Airflow 3.3, triggerer"
    ),
    "triggers.knowledge.RobofyCrawlTrigger": Entry(("get_crawl_status",), "none", "triggerer"),
    "triggers.knowledge.RobofyKnowledgeTrigger": Entry(("list_linked_assets",), "none", "triggerer"),
}


def documented(cls: type) -> dict[str, str]:
    """Return the description of each argument, from the docstrings of a class and its bases in this package.

    :param cls: The class.
    :return: Argument to Markdown, the class's own arguments first.
    """
    found: dict[str, str] = {}
    for base in cls.__mro__:
        if base.__module__.startswith(PACKAGE):
            for name, text in _PARAM.findall(inspect.getdoc(base) or ""):
                found.setdefault(name, markdown(text))
    return found


def markdown(text: str) -> str:
    """Return a description in reStructuredText as one line of Markdown for a table.

    :param text: Description of a parameter.
    """
    plain = _ROLE.sub(r"`\1`", " ".join(text.split())).replace("``", "`")
    return plain.replace("|", "\\|")


def defaults(cls: type) -> dict[str, Any]:
    """Return the keyword arguments of a class and its bases in this package, with their defaults.

    :param cls: The class.
    :return: Argument to default, which is ``inspect.Parameter.empty`` for a required one.
    """
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__.startswith(PACKAGE) and "__init__" in vars(base):
            for one in inspect.signature(vars(base)["__init__"]).parameters.values():
                if one.name != "self" and one.kind is not one.VAR_KEYWORD:
                    found.setdefault(one.name, one.default)
    return found


def default_of(value: Any) -> str:
    """Return a default as Markdown.

    :param value: The default, or ``inspect.Parameter.empty``.
    """
    return "required" if value is inspect.Parameter.empty else f"`{value!r}`".replace("datetime.", "")


def page() -> str:
    """Return the whole page.

    :raises LookupError: An argument has no description, or an endpoint does not exist.
    """
    rows, sections = [], []
    for path, entry in ENTRIES.items():
        module, _, name = path.rpartition(".")
        cls = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
        if unknown := set(entry.endpoints) - ENDPOINTS.keys():
            raise LookupError(f"{name}: {', '.join(unknown)} is not in ENDPOINTS.")
        templated = ", ".join(f"`{one}`" for one in getattr(cls, "template_fields", ()))
        endpoints = ", ".join(f"`{one}`" for one in entry.endpoints)
        rows.append(f"| [{name}](#{name.lower()}) | {endpoints} | {templated} | {entry.state} | {entry.needs} |\n")
        descriptions, taken = documented(cls), defaults(cls)
        if silent := taken.keys() - descriptions.keys():
            raise LookupError(f"{name}: {', '.join(sorted(silent))} has no :param: in the docstring.")
        lines = [f"| `{one}` | {default_of(taken[one])} | {descriptions[one]} |\n" for one in taken]
        sections.append(
            f"\n## {name}\n\n`from {PACKAGE}.{module} import {name}`\n\n"
            "| argument | default | meaning |\n|---|---|---|\n" + "".join(lines)
        )
    return HEAD + "".join(rows) + "".join(sections)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

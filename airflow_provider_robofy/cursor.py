"""Show or reset a cursor that is kept in a file: the command ``python -m airflow_provider_robofy.cursor``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError
from airflow_provider_robofy.extract.cursor import Cursor
from airflow_provider_robofy.extract.cursor_store import FileCursorStore
from airflow_provider_robofy.hooks.storage import open_store, place
from airflow_provider_robofy.operators.cursor_store import cursor_at

if TYPE_CHECKING:
    from collections.abc import Sequence

_IDENTITY = ("name", "resource", "project_id", "chatbot_id")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    :param arguments: What follows the command's name. Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_robofy.cursor",
        description="Show or reset a cursor that is kept in a file. The cursor of an asset is reset by a run's "
        'configuration: {"robofy_cursor": {"<cursor name>": "reset"}}.',
    )
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print where the cursor stands, as JSON; no ids of leads")
    reset = commands.add_parser("reset", help="let the next run read everything, or what is newer than --to")
    for command in (show, reset):
        command.add_argument("path", help="the .json file: a path, a URL, or relative to the landing root")
    reset.add_argument("--to", metavar="TIME", default="reset", help="ISO 8601; rows before it count as landed")
    options = parser.parse_args(arguments)
    try:
        store = FileCursorStore(open_store(place(options.path, "path")))
        body, cursor = _read(store)
        if options.command == "reset":
            start = cursor_at(options.to, cursor.timezone, "--to")
            # Another generation, so that a run under way sees that somebody else has moved the cursor.
            cursor = Cursor(timezone=start.timezone, watermark=start.watermark, generation=os.urandom(8).hex())
            store.save(cursor.encode({name: body[name] for name in _IDENTITY}))
    except RobofyError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(_summary(store, body, cursor), indent=2))
    return 0


def _read(store: FileCursorStore) -> tuple[dict[str, Any], Cursor]:
    body = store.load()
    if body is None:
        raise RobofyConfigError(f"{store.where} does not exist.")
    if not isinstance(body, dict) or not body.keys() >= set(_IDENTITY):
        raise RobofyConfigError(f"{store.where} is not a cursor.")
    return body, Cursor.decode(body, {name: body[name] for name in _IDENTITY}, store.where)


def _summary(store: FileCursorStore, body: dict[str, Any], cursor: Cursor) -> dict[str, Any]:
    return {
        "cursor": store.address,
        **{name: body[name] for name in _IDENTITY},
        "timezone": cursor.timezone,
        "watermark": cursor.watermark and cursor.watermark.isoformat(),
        "full_at": cursor.full_at and cursor.full_at.isoformat(),
        "overlap": len(cursor.overlap),
        "owed": len(cursor.owed),
        "moved_by": cursor.run_key,
    }


if __name__ == "__main__":
    sys.exit(main())

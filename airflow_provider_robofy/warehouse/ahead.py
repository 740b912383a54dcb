"""Making the next rows in a thread of its own, while the database is busy with those before them."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

T = TypeVar("T")

#: So many items wait at most.
_WAITING: Final = 2
_STEP: Final = 0.1


@contextmanager
def ahead(items: Generator[T, None, None]) -> Iterator[Iterator[T]]:
    """Run a generator ahead of its reader.

    Usage::

        with ahead(chunks(rows)) as made:
            for chunk in made:
                ...

    The thread ends with the block, however that ends. What the generator raises is raised to the reader, after the
    items that came before.

    :param items: The generator. It runs in the other thread alone, its end included.
    """
    made: Queue[tuple[bool, Any]] = Queue(_WAITING)
    unwanted = threading.Event()

    def put(one: Any, *, is_item: bool) -> bool:
        while not unwanted.is_set():
            try:
                made.put((is_item, one), timeout=_STEP)
            except Full:
                continue
            return True
        return False

    def make() -> None:
        error: BaseException | None = None
        try:
            with closing(items):
                for item in items:
                    if not put(item, is_item=True):
                        return
        except BaseException as raised:  # noqa: BLE001 (it is raised again, where somebody hears it)
            error = raised
        put(error, is_item=False)

    thread = threading.Thread(target=make, name="robofy-load", daemon=True)
    thread.start()
    try:
        yield _taken(made)
    finally:
        unwanted.set()
        thread.join()


def _taken(made: Queue[tuple[bool, Any]]) -> Iterator[Any]:
    while True:
        try:
            # In short steps: the handler of a signal runs between them.
            is_item, one = made.get(timeout=_STEP)
        except Empty:
            continue
        if is_item:
            yield one
        elif one is None:
            return
        else:
            raise one

"""Landed files: found by a manifest or a path, verified, and read; and which sessions of one a task takes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import dup, fdopen
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.formats import SPOILT, Format
from airflow_provider_robofy.extract.landing import SUFFIX
from airflow_provider_robofy.resources import SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

_BLOCK: Final = 1 << 20
_END: Final = object()


def rows(manifest: Mapping[str, Any], path: Any = None) -> Iterator[dict[str, Any]]:
    """Read a landed file, a row at a time.

    Usage, in a TaskFlow task::

        @task
        def count_hot_leads(manifest: dict) -> int:
            return sum(row["source"] == "chatbot" for row in rows(manifest))

    :param manifest: What a fetch operator returned.
    :param path: Where to read instead of the manifest's ``uri``. Needed where the URI names an Airflow connection
        (``s3://my_conn@bucket/...``): give ``ObjectStoragePath(manifest["uri"])``.
    :return: The rows, in the order they landed.
    :raises RobofyLandingError: The file does not contain the rows that the manifest says: it was replaced or cut.
    :raises RobofyConfigError: The file is Parquet, and pyarrow is not installed.
    """
    uri = str(manifest["uri"])
    if path is None and "@" in uri.partition("://")[2].partition("/")[0]:
        raise RobofyLandingError(
            f"{uri} names an Airflow connection. Read it with rows(manifest, ObjectStoragePath(manifest['uri']))."
        )
    store = Store(path.fs, path.path, uri) if path is not None else open_uri(uri)
    yield from _rows(manifest, store.open)


def open_uri(uri: str) -> Store:
    """Return the store of a URI, without Airflow's connections.

    :param uri: Path or URL.
    """
    if "://" not in uri or uri.startswith("file://"):
        # Not by url_to_fs, which takes a :: in the path for a chain of filesystems.
        local = LocalFileSystem()
        return Store(local, local._strip_protocol(uri), uri)  # noqa: SLF001 (fsspec's own idiom)
    fs, path = fsspec.url_to_fs(uri)
    return Store(fs, path, uri)


def _rows(manifest: Mapping[str, Any], open_file: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    uri = manifest["uri"]
    format_ = Format(
        manifest["format"],
        manifest.get("resource"),
        defuse_formulas=manifest.get("formulas_defused") is not False,
    )
    count = 0
    with open_file() as raw:
        found = format_.rows(raw)
        while True:
            try:
                row: Any = next(found, _END)
            except SPOILT:
                raise RobofyLandingError(
                    f"{uri} cannot be read after row {count}. It was replaced by something else, or cut."
                ) from None
            if row is _END:
                break
            count += 1
            yield row
    if count != manifest["rows"]:
        raise RobofyLandingError(
            f"{uri} holds {count} rows, but its manifest says {manifest['rows']}. "
            "It was replaced by a later run, or cut."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What kind of landed file an operator reads, in the words of the argument that names it.

    :param argument: The operator's argument.
    :param resources: What the rows may be.
    :param fields: Fields that the manifest must have, and their types.
    :param must_be: What the argument must be; goes before "not a list".
    :param aside: A sentence after that.
    :param task: What kind of task returns such a manifest.
    :param landed_by: What lands such files.
    :param remedy: What to do where the file is gone or a different one.
    """

    argument: str
    resources: tuple[str, ...]
    fields: Mapping[str, type]
    must_be: str
    aside: str = ""
    task: str
    landed_by: str
    remedy: str

    def find(self, given: object, open_store: Callable[[str], Store]) -> tuple[Mapping[str, Any], Store]:
        """Return the manifest and the file that an operator is to read, after checking that the file is still there.

        :param given: The manifest, or the path of the file, which has its manifest beside it.
        :param open_store: Opens a path.
        :raises RobofyConfigError: It is neither, of another resource, or gone.
        :raises RobofyLandingError: The file is not the one that the manifest describes.
        """
        manifest, store = self.manifest(given, open_store)
        size = store.size()
        if size is None:
            raise RobofyConfigError(f"{self.argument}: the file {store.uri} is gone. {self.remedy}")
        if size != manifest["bytes"]:
            raise RobofyLandingError(
                f"{self.argument}: {store.uri} has {size} bytes, but its manifest says {manifest['bytes']}. It was "
                f"replaced by a later run, or cut. {self.remedy}"
            )
        return manifest, store

    def manifest(self, given: object, open_store: Callable[[str], Store]) -> tuple[Mapping[str, Any], Store]:
        """Return the manifest that an operator is given, and the file that it describes, be it there or not.

        :param given: The manifest, or the path of the file, which has its manifest beside it.
        :param open_store: Opens a path.
        :raises RobofyConfigError: It is neither, or of another resource.
        """
        if isinstance(given, Mapping):
            manifest = given
            self._check(manifest)
            store = open_store(manifest["uri"])
        elif isinstance(given, str) and given.strip() and not given.lstrip().startswith(("{", "[")):
            store = open_store(given.strip())
            manifest = self._beside(store)
            self._check(manifest)
        else:
            aside = f" {self.aside}" if self.aside else ""
            raise RobofyConfigError(f"{self.argument} must be {self.must_be}, not {self._described(given)}.{aside}")
        return manifest, store

    def _beside(self, store: Store) -> Mapping[str, Any]:
        beside = store.beside(SUFFIX)
        try:
            manifest = codec.loads(beside.read())
        except FileNotFoundError:
            raise RobofyConfigError(
                f"{self.argument}: {beside.uri} is not there. Give the path of a file that {self.landed_by} landed, "
                "with its manifest beside it."
            ) from None
        except ValueError:
            manifest = None
        if not isinstance(manifest, Mapping):
            raise RobofyConfigError(f"{self.argument}: {beside.uri} is no manifest.")
        return manifest

    def _check(self, manifest: Mapping[str, Any]) -> None:
        resource = manifest.get("resource")
        if resource not in self.resources:
            raise RobofyConfigError(
                f"{self.argument}: this is the manifest of {str(resource)[:40]!r} and not of "
                f"{' or '.join(map(repr, self.resources))}. Give what a {self.landed_by} returned."
            )
        wrong = [name for name, kind in self.fields.items() if not isinstance(manifest.get(name), kind)]
        if wrong:
            raise RobofyConfigError(
                f"{self.argument}: the manifest lacks {', '.join(wrong)}, so it is not one of this provider."
            )

    def _described(self, given: object) -> str:
        if given is None:
            return f"None (did the {self.task} return a manifest?)"
        if isinstance(given, str):
            return "the text of one (a template renders text; use task.output)" if given.strip() else "an empty text"
        return f"a {type(given).__name__}"


class HeldFile:
    """A landed file that gives the same bytes each time it is read, whatever happens to its name meanwhile.

    Usage::

        with hold(manifest, store) as held:
            for row in held.rows():
                ...
            for row in held.rows():
                ...
    """

    def __init__(self, manifest: Mapping[str, Any], store: Store, file: IO[bytes]) -> None:
        self._manifest = manifest
        self._store = store
        self._file = file

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows from the beginning. One reader at a time: they share a position.

        :raises RobofyLandingError: The file does not contain the rows that the manifest says.
        """
        with _naming_file(self._store.uri):
            yield from _rows(self._manifest, self._open)

    def _open(self) -> IO[bytes]:
        self._file.seek(0)
        return fdopen(dup(self._file.fileno()), "rb")  # closing it leaves the file itself open


@contextmanager
def hold(manifest: Mapping[str, Any], store: Store) -> Iterator[HeldFile]:
    """Open a landed file once, and verify that it is the one that was landed.

    A local file is kept open; one in a store is copied to a temporary file without a name, which is gone with the
    process however that ends.

    :param manifest: With the ``sha256`` of the file.
    :param store: The file.
    :raises RobofyLandingError: It is a different file, or cannot be read.
    """
    with ExitStack() as opened:
        with _naming_file(store.uri):
            # Not by fsspec on a disk: what it opens has no descriptor of its own to keep open.
            source: IO[bytes] = opened.enter_context(
                Path(store.path).open("rb") if store.is_local else store.open()  # noqa: SIM115 (the stack closes it)
            )
            copy = opened.enter_context(tempfile.TemporaryFile())
            digest = hashlib.sha256()
            while block := source.read(_BLOCK):
                digest.update(block)
                if not store.is_local:
                    copy.write(block)
            copy.flush()
        if digest.hexdigest() != manifest["sha256"]:
            raise RobofyLandingError(
                f"{store.uri} is not the file that its manifest describes: the content is another (sha256). It was "
                "replaced by a later run. Give the manifest of that run, or land again."
            )
        yield HeldFile(manifest, store, source if store.is_local else copy)


@contextmanager
def _naming_file(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RobofyLandingError(f"{name} could not be read ({type(error).__name__}: {error}).") from error


SESSIONS_WANTED: Final = Wanted(
    argument="sessions",
    resources=("sessions",),
    fields={"uri": str, "format": str, "chatbot_id": str, "mode": str, "rows": int, "bytes": int},
    must_be="the manifest of a sessions task (sessions=task.output) or the path of its file",
    aside="Ids themselves are not taken: they can be phone numbers, and Airflow stores what an operator is given.",
    task="sessions task",
    landed_by="RobofyFetchSessionsOperator",
    remedy="Run the sessions task again.",
)


@dataclass(frozen=True, slots=True)
class LandedSessions:
    """A landed file of sessions and its manifest.

    The file and never a list of ids, because Airflow stores what an operator is given.

    :param manifest: What :class:`~airflow_provider_robofy.operators.inbox.RobofyFetchSessionsOperator` returned.
    :param store: The file.
    """

    manifest: Mapping[str, Any]
    store: Store

    @classmethod
    def of(cls, given: object, open_store: Callable[[str], Store]) -> Self:
        """Find the sessions that an operator was told to read, and check that they are still there.

        :param given: The manifest, or the path of the file, which has its manifest beside it.
        :param open_store: Opens a path.
        :raises RobofyConfigError: It is neither, of another resource, or gone.
        :raises RobofyLandingError: The file is not the one that the manifest describes.
        """
        manifest, store = SESSIONS_WANTED.find(given, open_store)
        return cls(manifest, store)

    @property
    def chatbot_id(self) -> str:
        """Return the agent whose sessions they are."""
        return str(self.manifest["chatbot_id"])

    @property
    def project_id(self) -> str | None:
        """Return the agent's project, if it is known."""
        return self.manifest.get("project_id")

    def ids(self, shard: Shard) -> Iterator[str]:
        """Yield the ids of a shard's sessions in the order of the file, each once, as text.

        A session that was touched while the listing was read may be in the file twice.

        :param shard: Which part.
        :raises RobofyConfigError: A row has no id.
        :raises RobofyLandingError: The file cannot be read, or contains another number of rows than it should.
        """
        seen: set[str] = set()
        with _naming_file(f"sessions: {self.store.uri}"):
            for number, row in enumerate(rows(self.manifest, self.store), 1):
                found = row.get(SESSIONS.key) if type(row) is dict else None
                if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
                    raise RobofyConfigError(
                        f"sessions: row {number} of {self.store.uri} has no session_id that is text or a whole number. "
                        "Was the file landed by RobofyFetchSessionsOperator?"
                    )
                session_id = str(found)
                if session_id not in seen and shard.holds(session_id):
                    seen.add(session_id)
                    yield session_id


def shards(count: int) -> list[tuple[int, int]]:
    """Return what to map over, so that many tasks share one export.

    Usage::

        RobofyFetchMessagesOperator.partial(task_id="messages", sessions=sessions.output).expand(shard=shards(8))

    :param count: How many tasks, at least 1.
    :return: ``[(0, count), (1, count), ...]``
    :raises RobofyConfigError: The count is no whole number above 0.
    """
    if not _is_whole_number(count) or count < 1:
        raise RobofyConfigError(f"shards({count!r}): the number of shards must be a whole number, at least 1.")
    return [(index, count) for index in range(count)]


@dataclass(frozen=True, slots=True)
class Shard:
    """Which of how many parts a task takes; 0 of 1 is the whole. Each session belongs to one, the same in every run."""

    index: int = 0
    count: int = 1

    @classmethod
    def of(cls, given: Any) -> Self:
        """Read a shard as an operator got it.

        :param given: None for the whole, or index and count. Airflow stores JSON, which makes a list of a tuple.
        :raises RobofyConfigError: It is something else, or there is no such part.
        """
        if given is None:
            return cls()
        numbers = list(given) if isinstance(given, list | tuple) else []
        if len(numbers) != 2 or not all(map(_is_whole_number, numbers)):
            raise RobofyConfigError(f"shard={given!r} must be (index, count), two whole numbers such as (0, 8).")
        index, count = numbers
        if count < 1 or not 0 <= index < count:
            raise RobofyConfigError(
                f"shard=({index}, {count}) is out of range: with a count of {count}, which must be at least 1, the "
                f"index runs from 0 to {max(count - 1, 0)}. shards({max(count, 1)}) gives all of them."
            )
        return cls(index, count)

    @property
    def is_whole(self) -> bool:
        """Return whether there is nothing but this part."""
        return self.count == 1

    def holds(self, session_id: str) -> bool:
        """Return whether a session belongs to this part. Equal on every machine and in every version.

        :param session_id: The session.
        """
        if self.is_whole:
            return True
        digest = hashlib.blake2b(session_id.encode(errors="surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.index


def _is_whole_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

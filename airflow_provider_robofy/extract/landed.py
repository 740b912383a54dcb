"""A landed file that somebody was told to read: found by its manifest or its path, and held while it is read."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import dup, fdopen
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.landing import rows
from airflow_provider_robofy.extract.manifest import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_robofy.extract.store import Store

_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Say what kind of file is wanted, in the words of the argument that names it.

    :param argument: The operator's argument.
    :param resources: What the rows may be.
    :param fields: Fields that the manifest must have, and their types.
    :param must_be: What the argument must be; goes before "not a list".
    :param aside: A sentence after that.
    :param task: What kind of task returns such a manifest.
    :param landed_by: What lands such files.
    :param remedy: What to do where the file is gone or another one.
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
        """Find the file that an operator was told to read, and look whether it is still there.

        :param given: The manifest, or the path of the file, which has its manifest beside it.
        :param open_store: Opens a path.
        :return: The manifest and the file.
        :raises RobofyConfigError: It is neither, of another resource, or gone.
        :raises RobofyLandingError: The file is not the one that the manifest describes.
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
        size = store.size()
        if size is None:
            raise RobofyConfigError(f"{self.argument}: the file {store.uri} is gone. {self.remedy}")
        if size != manifest["bytes"]:
            raise RobofyLandingError(
                f"{self.argument}: {store.uri} has {size} bytes, but its manifest says {manifest['bytes']}. It was "
                f"replaced by a later run, or cut. {self.remedy}"
            )
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
    """Read one file several times, the same bytes each time, whatever becomes of its name meanwhile.

    Usage::

        with hold(manifest, store) as held:
            for row in held.rows():
                ...
            for row in held.rows():
                ...
    """

    #: What :func:`~airflow_provider_robofy.extract.landing.rows` asks a path for: its filesystem, which is this one.
    path: Final = ""

    def __init__(self, manifest: Mapping[str, Any], store: Store, file: IO[bytes]) -> None:
        self._manifest = manifest
        self._store = store
        self._file = file
        self.fs = self

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows from the beginning.

        One reader at a time: they share a position.

        :raises RobofyLandingError: The file does not hold the rows that the manifest says.
        """
        with _speaking_of(self._store):
            yield from rows(self._manifest, self)

    def open(self, _path: str, _mode: str) -> IO[bytes]:
        """Open the file as a filesystem does; closing it leaves this one open."""
        self._file.seek(0)
        return fdopen(dup(self._file.fileno()), "rb")


@contextmanager
def hold(manifest: Mapping[str, Any], store: Store) -> Iterator[HeldFile]:
    """Open a landed file once, and look whether it is the one that was landed.

    A local file is held open; of one in a store a copy is made, in a temporary file without a name, which is gone with
    the process however that ends.

    :param manifest: With the ``sha256`` of the file.
    :raises RobofyLandingError: The file is another one, or cannot be read.
    """
    with ExitStack() as opened:
        with _speaking_of(store):
            source = opened.enter_context(_opened(store))
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


def _opened(store: Store) -> IO[bytes]:
    # Not by fsspec on a disk: what it opens has no descriptor of its own to hold on to.
    opened: IO[bytes] = Path(store.path).open("rb") if store.is_local else store.open()  # noqa: SIM115
    return opened


@contextmanager
def _speaking_of(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RobofyLandingError(f"{store.uri} could not be read ({type(error).__name__}: {error}).") from error

"""The connection to an emulator, as the operators' tests have it."""

from tests.operators.conftest import _short_pauses, connect  # noqa: F401 (fixtures)

"""The connection to an emulator, as the operators' tests have it."""

from tests.operators.conftest import connect  # noqa: F401 (a fixture)

"""Without aiohttp, which the extra `emulator` brings, whoever wants the emulator is expected what to install."""

from pathlib import Path

from tests.child import python

ROOT = Path(__file__).parents[2]
BLOCKED = "import sys; sys.modules['aiohttp'] = None\n"
SENTENCE = (
    "The emulator needs aiohttp, which is not installed: pip install 'airflow-provider-robofy[emulator]', or in a"
    " checkout pip install -e '.[emulator]'"
)


def run(*arguments):
    return python(*arguments, cwd=ROOT)


def test_the_command_says_what_to_install_in_one_sentence():
    module = "import runpy; runpy.run_module('airflow_provider_robofy.emulator', run_name='__main__')"
    done = run("-c", BLOCKED + module)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", SENTENCE + "\n")


def test_the_class_says_what_to_install():
    done = run("-c", BLOCKED + "from airflow_provider_robofy.emulator import Emulator")
    assert done.returncode == 1
    assert done.stderr.endswith(f"ImportError: {SENTENCE}\n")


def test_another_missing_module_is_not_taken_for_aiohttp():
    blocked = BLOCKED.replace("aiohttp", "orjson")
    done = run("-c", blocked + "from airflow_provider_robofy.emulator import Emulator")
    assert done.returncode == 1
    assert "orjson" in done.stderr
    assert SENTENCE not in done.stderr


def test_the_pytest_plugin_stops_only_the_tests_that_use_it(tmp_path):
    (tmp_path / "conftest.py").write_text(
        f'{BLOCKED}pytest_plugins = ["airflow_provider_robofy.emulator.pytest_plugin"]\n'
    )
    (tmp_path / "test_both.py").write_text(
        "def test_without(): pass\n\ndef test_with(robofy_emulator): raise AssertionError\n"
    )
    code = f"import sys, pytest; sys.path.insert(0, {str(ROOT)!r}); sys.exit(pytest.main(['-q', {str(tmp_path)!r}]))"
    done = run("-c", code)
    assert "1 passed, 1 error" in done.stdout
    assert f"ImportError: {SENTENCE}" in done.stdout

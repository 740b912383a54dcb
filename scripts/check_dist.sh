#!/bin/sh
# Install the distributions in dist/ as a user would, and check that Airflow finds them: check_dist.sh PYTHON CONSTRAINTS
# The wheel goes into an empty environment. The sdist replaces it in the same environment, so that the many
# packages of Airflow are installed only once.
set -eu

python=$1
constraints=$PWD/$2
wheel=$(ls "$PWD"/dist/*.whl)
sdist=$(ls "$PWD"/dist/*.tar.gz)
version=$("$python" -c "import airflow_provider_robofy; print(airflow_provider_robofy.__version__)")
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT INT TERM

fail() { # fail MESSAGE
    echo "$1" >&2
    exit 1
}

pip() { # pip COMMAND...
    "$empty/venv/bin/python" -m pip "$@" --disable-pip-version-check --no-input
}

check() { # check KIND: what was installed can be imported, starts, and is known to Airflow
    pip check
    "$empty/venv/bin/python" -c "
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
"
    for command in emulator probe; do
        "$empty/venv/bin/python" -m "airflow_provider_robofy.$command" --help >/dev/null || fail "$1: no $command"
    done
    # No pipe: its first reader to leave would end airflow.
    "$empty/venv/bin/airflow" providers list >listed.txt 2>errors.txt || fail "$(cat errors.txt)"
    grep "airflow-provider-robofy .*$version" listed.txt || fail "$1: airflow providers list does not show it"
}

"$python" -m venv "$empty/venv"
# Outside of the checkout, so that only the installed package can be imported.
cd "$empty"
unset PYTHONPATH
export AIRFLOW_HOME="$empty/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False

# Not compiled: of thousands of modules, few are imported here.
echo "The wheel, in an empty environment:"
pip install -qq --no-compile --constraint "$constraints" "${wheel}[emulator]"
check wheel

echo "Its extras can be resolved:"
pip install -qq --dry-run --report extras.json --constraint "$constraints" "$wheel[sql,parquet,emulator]"
"$empty/venv/bin/python" -c "
import json
found = {one['metadata']['name'].lower() for one in json.load(open('extras.json'))['install']}
print('  they add', ', '.join(sorted(found)))
assert 'pyarrow' in found, found
"

echo "The sdist, in its place:"
pip uninstall -qq -y airflow-provider-robofy
if "$empty/venv/bin/python" -c "import airflow_provider_robofy" 2>/dev/null; then fail "the wheel left files behind"; fi
pip install -qq --no-compile --constraint "$constraints" "${sdist}[emulator]"
check sdist

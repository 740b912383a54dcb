#!/bin/sh
# Installs the one wheel in dist/ into an empty environment and asks Airflow for it: check_dist.sh PYTHON CONSTRAINTS
set -eu

python=$1
constraints=$PWD/$2
wheel=$(ls "$PWD"/dist/*.whl)
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT INT TERM

"$python" -m venv "$empty/venv"
"$empty/venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input --constraint "$constraints" "$wheel"

# Away from the checkout, so that nothing but the wheel can be found.
cd "$empty"
unset PYTHONPATH
export AIRFLOW_HOME="$empty/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False
"$empty/venv/bin/python" -m pip check --disable-pip-version-check
"$empty/venv/bin/python" -c "
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
import airflow_provider_robofy.emulator.command
"
# No pipe: its first reader to leave would end airflow.
"$empty/venv/bin/airflow" providers list >listed.txt 2>errors.txt || { cat errors.txt >&2; exit 1; }
grep airflow-provider-robofy listed.txt || { echo "airflow providers list does not show the provider" >&2; exit 1; }

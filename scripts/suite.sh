#!/bin/sh
# Run the suite in two parts: suite.sh PYTHON [PYTEST ARGUMENT...]
# First three workers share the tests that can run side by side: on two cores, since the tests of a whole Airflow, which
# come first, wait most of the time. Then those that are marked serial run one by one.
set -u

python=$1
shift

# pytest rewrites the asserts of tests and plugins, and Python compiles the package, anew in each process of each worker
# where they may not keep the result.
unset PYTHONDONTWRITEBYTECODE

# By file: its tests share servers, and some depend on each other. The slowest files come first (tests/conftest.py), and
# one worker has all tests of the running Airflow; xdist's own order begins with the files that have the most tests.
"$python" -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder --part=parallel "$@"
parallel=$?
# Whatever else ended the first part (a wrong argument, Ctrl-C, -x) would end the second too, or is meant to.
case $parallel in
0 | 1 | 5) ;;
*) exit "$parallel" ;;
esac

"$python" -m pytest --part=serial "$@" --numprocesses=0
serial=$?
# 5 says that the arguments select nothing of a part.
if [ "$parallel" = 5 ]; then exit "$serial"; fi
if [ "$parallel" = 1 ] || [ "$serial" = 5 ]; then exit "$parallel"; fi
exit "$serial"

#!/bin/sh
# Prints the first usable interpreter among the versions asked for: find_python.sh 3.13 3.12 3.11
# Plain sh, because it runs before there is any Python. An interpreter is run, not only looked up: a version
# manager leaves commands on PATH for versions that are switched off, and a distribution may ship Python without
# what makes environments.
set -u

usable() {
    "$1" -c "import ensurepip, sqlite3, ssl, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" \
        </dev/null >/dev/null 2>&1
}

for version in "$@"; do
    for candidate in "python$version" python3 python; do
        found=$(command -v "$candidate") || continue
        if usable "$found" "$version"; then
            echo "$found"
            exit 0
        fi
    done
    # pyenv keeps versions that are installed but not switched on.
    if root=$(pyenv root 2>/dev/null); then
        for found in "$root"/versions/"$version".*/bin/"python$version"; do
            if usable "$found" "$version"; then
                echo "$found"
                exit 0
            fi
        done
    fi
done

echo "No usable Python found: need one of $* with venv, ensurepip, ssl and sqlite3. Install one or name it: make PYTHON=/path/to/python3 ..." >&2
exit 1

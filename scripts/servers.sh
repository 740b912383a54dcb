#!/bin/sh
# Installs what tests start for themselves and Python's index has not: PostgreSQL, MariaDB and its headers, Redis,
# Chromium, Java.
# For Debian and its kin, as root; what is there already is left alone. Nothing is started or set up.
set -eu

packages="postgresql mariadb-server libmariadb-dev redis-server pkg-config gcc chromium fonts-dejavu-core openjdk-17-jre-headless"

missing=""
for package in $packages; do
    dpkg-query --show --showformat='${Status}\n' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
done
[ -n "$missing" ] || { echo "All there: $packages"; exit 0; }

# The packages would start their servers at once; the tests start their own, elsewhere and as somebody else.
[ -e /usr/sbin/policy-rc.d ] || {
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
}
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
apt-get install -qq --yes --no-install-recommends $missing >/dev/null
echo "Installed:$missing"

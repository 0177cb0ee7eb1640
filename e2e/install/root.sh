#!/bin/bash
# A Debian with nothing in it but what is essential, and apt, as a tar:
#
#   root.sh SUITE FILE
#
# Which mirror, proxy and credentials: those of this machine's own apt, as in deps/image/debian.sh; the root keeps them.
set -euo pipefail
suite=$1 file=$2
say() { printf 'root: %s\n' "$*" >&2; }

# The machine's own mirrors of Debian: the archive, and the security archive where it has one.
mirror() { # label
	apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		awk -v label="$1" '{ uri = $NF; sub(/ [^ ]*$/, "") } $0 == label && !seen++ { print uri }'
}
main=$(mirror Debian)
security=$(mirror Debian-Security)
if [ -z "$main" ]; then
	say 'this machine has no mirror of Debian in its apt sources'
	echo 'hint: apt-get update, on a Debian machine' >&2
	exit 1
fi
sources="deb $main $suite main
deb $main $suite-updates main"
[ -z "$security" ] || sources="$sources
deb $security $suite-security main"

work=$(mktemp -d)
trap 'rm -rf "$work" "$file.new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# How this machine's apt reaches its mirrors: proxies, timeouts, credentials.
apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-Valid-Until|Check-Date)' >"$work/apt.conf" || true
say "Debian $suite"
umask 077
mmdebstrap --quiet --mode=root --variant=minbase --format=tar \
	--aptopt="$work/apt.conf" \
	--setup-hook='[ ! -d /etc/apt/auth.conf.d ] || cp -a /etc/apt/auth.conf.d/. "$1"/etc/apt/auth.conf.d/' \
	--setup-hook='[ ! -e /etc/apt/auth.conf ] || cp -a /etc/apt/auth.conf "$1"/etc/apt/' \
	"$suite" "$file.new" "$sources" >&2
mv "$file.new" "$file"

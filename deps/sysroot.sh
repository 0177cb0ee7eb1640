#!/bin/bash
# Fetches Debian packages of another architecture and unpacks them, with an apt state of its own: this machine's dpkg
# learns of no foreign architecture, and nothing is installed. It needs no root.
#
#   sysroot.sh ARCH DIR PACKAGE...
#
# leaves in DIR: root/, with the packages' files, and in it packages (name, version). The suite, the mirrors, their proxy
# and their credentials are those of this machine's own apt.
set -euo pipefail
arch=$1 dir=$2
shift 2
fail() {
	printf 'sysroot: %s\n' "$1" >&2
	exit 1
}
for tool in apt-get apt-config dpkg-deb; do
	command -v $tool >/dev/null || fail "this is not a Debian system: there is no $tool"
done

state=$dir/apt
mkdir -p "$state"/{lists,cache/archives,debs} "$dir/root"
: >"$state/status"
key=/usr/share/keyrings/debian-archive-keyring.gpg
signed=
[ ! -e $key ] || signed=" signed-by=$key"
apt-get indextargets --format '$(LABEL)|$(REPO_URI)|$(CODENAME)' 'Created-By: Packages' |
	awk -F'|' -v opts="arch=$arch$signed" '($1 == "Debian" || $1 == "Debian-Security") && !seen[$0]++ { print "deb [" opts "] " $2 " " $3 " main" }' >"$state/sources.list"
[ -s "$state/sources.list" ] || fail 'this machine has no mirror of Debian in its apt sources: apt-get update'

apt() {
	apt-get -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o APT::Sandbox::User= \
		-o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
		-o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null "$@"
}
apt update
(cd "$state/debs" && apt download "$@")
for deb in "$state"/debs/*.deb; do
	dpkg-deb -x "$deb" "$dir/root"
	dpkg-deb -W --showformat '${Package} ${Version}\n' "$deb"
done >"$dir/packages"
mv "$dir/packages" "$dir/root/packages"

#!/usr/bin/env bash
# Makes a build context with a root filesystem of Debian packages (rootfs.tar), and prints its directory:
#
#   rootfs.sh PACKAGE...
#
# apt resolves and fetches with this machine's own configuration (sources, proxies, keys), as if
# nothing were installed; then the packages are unpacked without running their scripts. No
# registry is asked, so this works wherever apt does. What was made once is kept.
set -euo pipefail

. /etc/os-release
cache=${XDG_CACHE_HOME:-$HOME/.cache}/linnet/demo
key=$({ echo "$ID $VERSION_ID $(dpkg --print-architecture) $*"; cat "$0"; } | sha256sum | cut -c1-12)
context=$cache/rootfs-$key
if [ -f "$context/rootfs.tar" ]; then
	echo "$context"
	exit
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/tmp.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/apt/archives/partial" "$work/root" "$work/context"
# What only the packages' scripts need counts as installed: it would treble the image.
for package in adduser init-system-helpers lsb-base perl sysvinit-utils; do
	printf 'Package: %s\nStatus: install ok installed\nVersion: 999\nArchitecture: all\nMulti-Arch: foreign\nMaintainer: nobody\nDescription: not needed\n\n' $package
done >"$work/status"

apt() {
	apt-get -qq -y --no-install-recommends -o Dir::State::status="$work/status" -o Dir::State::extended_states="$work/extended" \
		-o Dir::Cache="$work/apt" -o APT::Sandbox::User=root "$@" >&2
}
# A machine whose package lists are old or absent learns of it here.
apt --download-only install "$@" 2>"$work/errors" || {
	apt-get -qq update >&2
	apt --download-only install "$@"
}

# The root of a merged-/usr Debian: packages still bring files for the directories that are links.
for dir in bin sbin lib lib64; do
	mkdir -p "$work/root/usr/$dir"
	ln -s "usr/$dir" "$work/root/$dir"
done
for deb in "$work"/apt/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$deb" | tar -C "$work/root" --keep-directory-symlink -xpf -
done
# What the packages' scripts would have made.
mkdir -p "$work/root/"{dev,etc,proc,root,run,sys,var/lib}
install -d -m 1777 "$work/root/tmp"
echo 'root:x:0:0:root:/root:/bin/sh' >"$work/root/etc/passwd"
echo 'root:x:0:' >"$work/root/etc/group"
rm -rf "$work/root/usr/share/"{doc,man,locale,lintian}
if [ -x "$work/root/bin/busybox" ]; then
	chroot "$work/root" /bin/busybox --install -s /usr/bin
fi

tar -C "$work/root" --sort=name --numeric-owner -cf "$work/context/rootfs.tar" .
rm -rf "$context"
mv "$work/context" "$context" # all of it or nothing
echo "$context"

#!/bin/bash
# The Debian half of the guest, made from packages alone:
#
#   debian.sh ARCH DIR
#
# leaves in DIR: rootfs.tar (the root, kernel modules included), kernel, modules/ (those of the initrd, in
# the order of loading), busybox (static), packages (name, version, architecture) and kernel-version.
# Which mirror, proxy and credentials: those of this machine's own apt.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
arch=$1 out=$2
suite=trixie
say() { printf 'image: %s\n' "$*" >&2; }

list() { sed 's/#.*//' "$1" | awk 'NF'; }

# The machine's own mirrors of Debian: the archive, and the security archive where it has one.
mirrors() { # label
	apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		awk -v label="$1" '{ uri = $NF; sub(/ [^ ]*$/, "") } $0 == label && !seen[uri]++ { print uri }' | head -1
}
main=$(mirrors Debian)
security=$(mirrors Debian-Security)
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
trap 'rm -rf "$work"' EXIT
root=$work/root

# How this machine's apt reaches its mirrors: proxies, timeouts, credentials.
apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-Valid-Until|Check-Date)' >"$work/apt.conf" || true
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
say "Debian $suite for $arch"
mmdebstrap --quiet --mode=root --architectures="$arch" --variant=essential --format=directory \
	--include="$(list "$here/packages" | paste -sd,)" \
	--aptopt="$work/apt.conf" \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/bash-completion/*' \
	--setup-hook='[ ! -d /etc/apt/auth.conf.d ] || cp -a /etc/apt/auth.conf.d/. "$1"/etc/apt/auth.conf.d/' \
	--setup-hook='[ ! -e /etc/apt/auth.conf ] || cp -a /etc/apt/auth.conf "$1"/etc/apt/' \
	--customize-hook="'$here/extras.sh' '$work/extras' '$arch'" \
	"$suite" "$root" "$sources" >&2

extras=$work/extras
version=$(basename "$(echo "$extras"/kernel/usr/lib/modules/*)")
say "kernel $version"
mkdir -p "$out"
cp "$extras/kernel/boot/vmlinuz-$version" "$out/kernel"
echo "$version" >"$out/kernel-version"
cp "$extras/busybox/usr/bin/busybox" "$out/busybox"
{
	chroot "$root" dpkg-query -W -f '${Package} ${Version} ${Architecture}\n'
	cat "$extras/packages"
} | LC_ALL=C sort >"$out/packages"

# The modules, uncompressed: the guest's processor is the slowest part of its start.
modules=$extras/kernel/usr/lib/modules/$version
find "$modules/kernel" -name '*.ko.xz' -exec xz --decompress {} +
depmod -b "$extras/kernel/usr" -e -E /dev/null "$version" 2>/dev/null || depmod -b "$extras/kernel/usr" "$version"
closure() { # paths below kernel/ on stdin, one a line; their files in the order of loading
	awk -v dep="$modules/modules.dep" '
		BEGIN { while ((getline line < dep) > 0) { split(line, p, ":"); deps[p[1]] = p[2]; all[++n] = p[1] } }
		function visit(m,   k, parts, count) {
			if (seen[m]++) return
			count = split(deps[m], parts, " ")
			for (k = count; k >= 1; k--) visit(parts[k])
			print m
		}
		{
			for (i = 1; i <= n; i++)
				if (all[i] == "kernel/" $1 ".ko" || index(all[i], "kernel/" $1 "/") == 1) visit(all[i])
		}'
}
mkdir "$out/modules"
list "$here/modules" | awk '$1 == "initrd" { print $2 }' | closure | while read -r module; do
	cp "$modules/$module" "$out/modules/"
	basename "$module" >>"$out/modules/order"
done
mkdir -p "$root/usr/lib/modules/$version"
list "$here/modules" | awk '{ print $NF }' | closure | while read -r module; do
	install -D -m 644 "$modules/$module" "$root/usr/lib/modules/$version/$module"
done
cp "$modules"/modules.builtin* "$modules"/modules.order "$root/usr/lib/modules/$version/"
depmod -b "$root/usr" "$version" 2>/dev/null || depmod -b "$root" "$version"

if [ -d "$extras/qemu" ]; then
	install -D "$extras/qemu/usr/bin/qemu-aarch64" "$root/usr/libexec/linnet/emulators/qemu-aarch64"
fi

"$here/trim.sh" "$root"
tar -C "$root" --sort=name --numeric-owner --xattrs --mtime="@$SOURCE_DATE_EPOCH" -cf "$out/rootfs.tar" .

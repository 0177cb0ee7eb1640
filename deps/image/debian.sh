#!/bin/bash
# The Debian half of the guest, made from packages alone:
#
#   debian.sh ARCH DIR
#
# leaves in DIR: rootfs.tar (the root, kernel modules included), kernel, initrd/ (its modules), packages (name,
# version, architecture) and kernel-version.
# Which mirror, proxy and credentials: those of this machine's own apt.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
arch=$1 out=$2
suite=trixie
say() { printf 'image: %s\n' "$*" >&2; }
trap 'say "debian.sh failed in line $LINENO"' ERR

case $arch in
amd64) machine=x86_64 foreign=aarch64 ;;
arm64) machine=aarch64 foreign=x86_64 ;;
esac

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
root=$work/root
binfmt=/proc/sys/fs/binfmt_misc registered=
finish() {
	[ -z "$registered" ] || echo -1 >"$registered"
	! mountpoint -q "$work/binfmt" || umount "$work/binfmt"
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Packages of another architecture run programs of their own when they are installed. For that time the kernel is told of
# this machine's emulator: by an entry of this run's own, since others' may lack F (by which the emulator need not be in
# the new root) and the newest one counts. One that a killed run left goes first.
register() {
	local emulator line old
	emulator=$(command -v "qemu-$machine-static" || command -v "qemu-$machine") || {
		say "there is no emulator of $machine: qemu-$machine-static"
		echo "hint: deps/system.sh $arch" >&2
		exit 1
	}
	if [ ! -e $binfmt/register ]; then
		binfmt=$work/binfmt
		mkdir "$binfmt"
		modprobe -q binfmt_misc || true # built in, or this fails in the next line
		mount -t binfmt_misc binfmt_misc "$binfmt"
	fi
	for old in "$binfmt"/linnet-image-*; do
		[ ! -e "$old" ] || [ -e "/proc/${old##*-}" ] || echo -1 >"$old"
	done
	line=$(grep '^:' "$here/files/usr/lib/binfmt.d/$machine.conf" | cut -d: -f3-6)
	echo ":linnet-image-$$:$line:$emulator:F" >"$binfmt/register"
	registered=$binfmt/linnet-image-$$
}
foreigner=
if [ "$arch" != "$(dpkg --print-architecture)" ]; then
	register
	foreigner=--skip=check/qemu # it asks other packages whether such programs run; see register
fi

# How this machine's apt reaches its mirrors: proxies, timeouts, credentials.
apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-Valid-Until|Check-Date)' >"$work/apt.conf" || true
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
say "Debian $suite for $arch"
mmdebstrap --quiet --mode=root $foreigner --architectures="$arch" --variant=essential --format=directory \
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
if [ "$arch" = amd64 ]; then
	# QEMU starts an unpacked kernel directly (PVH), which saves an emulated processor half a second; vz takes the
	# packed one. Where it is inside: Documentation/arch/x86/boot.rst, payload_offset and payload_length.
	mv "$out/kernel" "$out/kernel.packed"
	number() { od -An -j "$1" -N "$2" -t "u$2" "$out/kernel.packed" | tr -d ' '; }
	start=$((($(number 497 1) + 1) * 512 + $(number 584 4)))
	length=$(($(number 588 4) - 4))
	head -c $((start + length)) "$out/kernel.packed" | tail -c $length | zstd --decompress --quiet >"$out/kernel"
fi
if [ "$arch" = arm64 ] && [ "$(tail -c +57 "$out/kernel" | head -c 4)" != ARMd ]; then
	# Documentation/arch/arm64/booting.rst. Neither vz nor an older QEMU unpacks a kernel.
	say "the kernel of $version is packed, and no arm64 machine starts it directly"
	exit 1
fi
echo "$version" >"$out/kernel-version"
{
	chroot "$root" dpkg-query -W -f '${Package} ${Version} ${Architecture}\n'
	cat "$extras/packages"
} | LC_ALL=C sort >"$out/packages"

# The modules, uncompressed: the guest's processor is the slowest part of its start.
modules=$extras/kernel/usr/lib/modules/$version
find "$modules/kernel" -name '*.ko.xz' -exec xz --decompress {} +
# Nor signed: without secure boot a signature protects nothing, and checking one costs an emulated processor 20 ms
# and more, for each of fifty modules. A file ends with its signature, that one's length (the last four of twelve
# bytes, big-endian) and a mark.
mark='~Module signature appended~'
find "$modules/kernel" -name '*.ko' | while read -r file; do
	[ "$(tail -c 28 "$file" | tr -d '\0')" = "$mark" ] || continue
	length=$(tail -c 32 "$file" | od -An -N4 -tu1 | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }')
	truncate --size=-$((length + 12 + 28)) "$file"
done
depmod -b "$extras/kernel/usr" "$version"
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
install_modules() { # what begins with initrd, or all; into a root
	local to=$2/usr/lib/modules/$version
	mkdir -p "$to"
	list "$here/modules" | awk -v only="$1" 'only == "all" || $1 == only { print $NF }' | closure | while read -r module; do
		install -D -m 644 "$modules/$module" "$to/$module"
	done
	cp "$modules"/modules.builtin* "$modules"/modules.order "$to/"
	depmod -b "$2/usr" "$version"
}
install_modules all "$root"
install_modules initrd "$out/initrd"
find "$out/initrd" -name 'modules.*' ! -name modules.dep -delete

install -D "$extras/qemu/usr/bin/qemu-$foreign" "$root/usr/libexec/linnet/emulators/qemu-$foreign"

"$here/trim.sh" "$root"
tar -C "$root" --sort=name --numeric-owner --xattrs --pax-option=delete=atime,delete=ctime --mtime="@$SOURCE_DATE_EPOCH" -cf "$out/rootfs.tar" .

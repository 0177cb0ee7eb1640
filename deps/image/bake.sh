#!/bin/bash
# Makes the guest's image: a root disk, a kernel and an initrd, which boot without a boot loader and download nothing.
#
#   bake.sh [ARCH]        amd64 or arm64; this machine's own otherwise
#
# In two stages, both keyed by content: the Debian half (debian.sh) is kept in ~/.cache/linnet/image; the disk
# is made again when anything that goes in has changed. README.md says what is in it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cache=${LINNET_IMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/linnet/image}
export LC_ALL=C SOURCE_DATE_EPOCH=1767225600 # a fixed day; nothing depends on which

say() { printf 'image: %s\n' "$*" >&2; }
trap 'say "bake.sh failed in line $LINENO"' ERR
fail() {
	say "$1"
	printf 'hint: %s\n' "$2" >&2
	exit 1
}

host=$(go env GOHOSTARCH)
arch=${1:-$host}
suffix=
[ "$arch" = "$host" ] || suffix=-$arch # what is made for another architecture stands beside what is made for this one
prefix=${LINNET_PREFIX:-$top/libexec/linnet$suffix}
agent=${LINNET_AGENT:-$top/bin$suffix/linnet-agent}
case $arch in
amd64) machine=x86_64 console=ttyS0 loader=lib64/ld-linux-x86-64.so.2 ;;
arm64) machine=aarch64 console=ttyAMA0 loader=lib/ld-linux-aarch64.so.1 ;;
*) fail "unknown architecture \"$arch\"" 'amd64 or arm64' ;;
esac
components='bin/buildctl bin/buildkitd bin/containerd bin/containerd-shim-runc-v2 bin/docker-proxy bin/dockerd bin/nerdctl bin/runc
	cni/bridge cni/firewall cni/host-local cni/loopback cni/portmap cni/tuning'
for c in $components; do
	[ -x "$prefix/$c" ] || fail "$prefix/$c is not there" "make deps${suffix:+ ARCH=$arch}"
done
[ -x "$agent" ] || fail "$agent is not there" "make build${suffix:+ ARCH=$arch}"

digest() { sha256sum | cut -c1-16; }
# A file counts by its path here, its mode and its content.
contents() { (cd "$1" && shift && find "$@" -type f -printf '%p %m ' -exec sha256sum {} \; -o -type l -printf '%p -> %l\n' | sort); }

# The components' digests, which deps/build has noted beside them; a file of another size is not what was noted.
components_sums() {
	awk -v wanted="$components" '
		BEGIN { n = split(wanted, list); for (i = 1; i <= n; i++) want[list[i]] = 1 }
		{ gsub(/[",:]/, ""); now[$1] = $2 }
		$1 == "size" && now["path"] in want { print now["sha256"], now["size"], now["path"] }' "$prefix/manifest.json"
	# shellcheck disable=SC2086 # words on purpose
	(cd "$prefix" && stat -c '%s %n' $components)
}

debian=debian-$arch-$(contents "$here" debian.sh extras.sh trim.sh packages modules units | digest)
key=$({
	echo "$debian $SOURCE_DATE_EPOCH"
	contents "$here" bake.sh files early
	(cd "$top" && sha256sum go.mod go.sum)
	components_sums
	sha256sum <"$agent"
} | digest)
out=$prefix/image/$machine
if grep -qs "\"key\": \"$key\"" "$out/manifest.json"; then
	exit 0
fi

[ "$(id -u)" = 0 ] || fail 'only root can make an image: its files belong to root' 'sudo make image'
for tool in mmdebstrap cpio depmod xz zstd; do
	command -v $tool >/dev/null || fail "$tool is not there" 'deps/system.sh vm'
done
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ ! -d "$cache/$debian" ]; then
	"$here/debian.sh" "$arch" "$work/debian"
	mv "$work/debian" "$cache/$debian"
	# The newest three stay: one may go back a step, and a disk is not filled by a day of changes.
	find "$cache" -maxdepth 1 -name "debian-$arch-*" -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2- | xargs -r rm -rf
fi
touch "$cache/$debian"
debian=$cache/$debian

say "disk for $machine"
root=$work/root
mkdir "$root"
tar -C "$root" --numeric-owner --xattrs -xf "$debian/rootfs.tar"
cp -a --no-preserve=ownership "$here/files/." "$root/"
install -d "$root/usr/libexec/linnet/bin" "$root/usr/libexec/linnet/cni" "$root/var/lib/linnet" "$root/mnt"
for c in $components; do
	install -m 755 "$prefix/$c" "$root/usr/libexec/linnet/$c"
done
install -m 755 "$agent" "$root/usr/libexec/linnet/bin/linnet-agent"
ln -s linnet-agent "$root/usr/libexec/linnet/bin/docker-credential-linnet"
ln -s linnet-agent "$root/usr/libexec/linnet/bin/linnet-docker-proxy"
ln -s ../bin/linnet-agent "$root/usr/libexec/linnet/cni/linnet-ports"
# For a user who looks inside: sudo nerdctl.
install -d "$root/etc/nerdctl" "$root/usr/local/bin"
ln -s /usr/libexec/linnet/bin/nerdctl /usr/libexec/linnet/bin/buildctl "$root/usr/local/bin/"
ln -s /var/lib/linnet/native/etc/nerdctl.toml "$root/etc/nerdctl/nerdctl.toml"
(cd "$top" && CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -ldflags '-s -w' \
	-o "$root/usr/libexec/linnet/bin/linnet-early" ./deps/image/early)
for entry in "$root"/usr/lib/binfmt.d/*.conf; do # the emulators of this image alone
	[ -e "$root/usr/libexec/linnet/emulators/qemu-$(basename "$entry" .conf)" ] || rm "$entry"
done
chmod 440 "$root/etc/sudoers"
: >"$root/etc/machine-id"
ln -sf /usr/lib/systemd/system/linnet.target "$root/etc/systemd/system/default.target"
find "$root" -depth -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

new=$work/image
mkdir "$new"
uuid=1c0de000-11ae-4e75-8000-000000000001
used=$(du -sm --apparent-size "$root" | cut -f1)
truncate -s $((used * 5 / 4 + 384))M "$new/disk.raw"
# The guest's own mke2fs: with the same time in every inode the same contents make the same disk.
mkfs=("$root/$loader" --library-path "$root/usr/lib/$machine-linux-gnu" "$root/usr/sbin/mke2fs" -t ext4)
[ "$arch" = "$host" ] || mkfs=("qemu-$machine-static" "${mkfs[@]}")
MKE2FS_CONFIG="$root/etc/mke2fs.conf" E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH "${mkfs[@]}" -q -d "$root" -L linnet-root -U $uuid \
	-m 0 -J size=16 -N 65536 -E "hash_seed=$uuid,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0" "$new/disk.raw"
fallocate --dig-holes "$new/disk.raw"

initrd=$work/initrd
mkdir -p "$initrd"/{dev,proc,root,run,sys}
cp "$root/usr/libexec/linnet/bin/linnet-early" "$initrd/init"
cp -a "$debian/initrd/." "$initrd/"
find "$initrd" -depth -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
(cd "$initrd" && find . -print0 | sort -z | cpio --null --create --format=newc --owner=0:0 --reproducible --quiet) >"$new/initrd"
cp "$debian"/kernel "$new/"
[ ! -e "$debian/kernel.packed" ] || cp "$debian/kernel.packed" "$new/"
# A kernel that panics starts again at once: the next command finds a machine, and what was synced.
common="panic=-1 console=hvc0 console=$console quiet loglevel=4 net.ifnames=0 lsm=landlock,yama systemd.show_status=0"
echo "$common" >"$new/cmdline"
# An emulated processor does not speculate, so there is nothing to mitigate, and each mitigation is emulated too.
echo "$common mitigations=off" >"$new/cmdline.tcg"

size() { stat -c %s "$1"; }
{
	printf '{\n  "key": "%s",\n  "arch": "%s",\n  "kernel": "%s",\n' "$key" "$machine" "$(cat "$debian/kernel-version")"
	printf '  "sizes": {"disk": %s, "used": %s, "kernel": %s, "initrd": %s},\n' "$(size "$new/disk.raw")" \
		"$(du -B1 "$new/disk.raw" | cut -f1)" "$(size "$new/kernel")" "$(size "$new/initrd")"
	printf '  "components": {\n'
	awk -v wanted="$components" '
		BEGIN { n = split(wanted, list); for (i = 1; i <= n; i++) want[list[i]] = 1 }
		{ gsub(/[",:]/, ""); now[$1] = $2 }
		$1 == "path" && $2 in want && !seen[now["component"]]++ { printf "%s    \"%s\": \"%s\"", sep, now["component"], now["version"]; sep = ",\n" }' "$prefix/manifest.json"
	printf '\n  },\n  "files": {\n'
	(cd "$prefix" && sha256sum $components) | awk '{ printf "%s    \"%s\": \"sha256:%s\"", sep, $2, $1; sep = ",\n" }'
	printf ',\n    "bin/linnet-agent": "sha256:%s"\n  },\n  "packages": {\n' "$(sha256sum <"$agent" | cut -d' ' -f1)"
	awk '{ printf "%s    \"%s:%s\": \"%s\"", sep, $1, $3, $2; sep = ",\n" }' "$debian/packages"
	printf '\n  }\n}\n'
} >"$new/manifest.json"

mkdir -p "$(dirname "$out")"
rm -rf "$out.new" "$out.old"
cp -a --sparse=always "$new" "$out.new"
[ ! -e "$out" ] || mv "$out" "$out.old"
mv "$out.new" "$out"
rm -rf "$out.old"
say "$(du -sh "$out" | cut -f1) in $out"

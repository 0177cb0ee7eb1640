#!/bin/bash
# Bakes the image twice from nothing, each time with a cache of its own, and reports whether the same came out:
#
#   compare.sh [ARCH]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
host=$(go env GOHOSTARCH)
suffix=
[ "${1:-$host}" = "$host" ] || suffix=-$1
prefix=${LINNET_PREFIX:-$(cd "$here/../.." && pwd)/libexec/linnet$suffix}
work=$(mktemp -d "$(dirname "$prefix")/compare.XXXXXX")
trap 'rm -rf "$work"' EXIT
for round in 1 2; do
	mkdir "$work/$round"
	ln -s "$prefix/bin" "$prefix/cni" "$prefix/manifest.json" "$work/$round/"
	LINNET_PREFIX=$work/$round LINNET_IMAGE_CACHE=$work/$round/cache "$here/bake.sh" "$@"
	(cd "$work/$round/image"/* && sha256sum disk.raw initrd kernel* cmdline* | tee "$work/sums.$round")
done
if ! cmp "$work/sums.1" "$work/sums.2"; then
	for round in 1 2; do
		mkdir "$work/root.$round"
		tar -C "$work/root.$round" -xf "$work/$round"/cache/debian-*/rootfs.tar
	done
	diff -r --no-dereference "$work/root.1" "$work/root.2" | head -50
	exit 1
fi
echo 'image: both the same'

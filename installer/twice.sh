#!/bin/bash
# Makes a release twice, in clones of this repository that stand in different directories, and compares the digests:
#
#   twice.sh [ARCH...]        amd64 and arm64; as root, for the images
#
# The first goes by the caches there are. The second has none of what is built: components, images and Go's own are made
# from their sources again. That takes a quarter of an hour for this machine's architecture, and hours for an emulated one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || set -- amd64 arm64
version=$(git describe --tags --always)

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# release DIR: what a release consists of, for the architectures, from a clone there.
release() {
	git clone --quiet --no-hardlinks . "$1"
	for arch in "${archs[@]}"; do
		make -C "$1" build image pack-image "ARCH=$arch" "VERSION=$version"
	done
	make -C "$1" dist "ARCH=$(IFS=, && echo "${archs[*]}")" "VERSION=$version"
	(cd "$1/_output/dist" && find . -type f ! -name SHA256SUMS -exec sha256sum {} + | sort -k 2)
}

archs=("$@")
release "$work/one" >"$work/one.log" 2>&1 || { cat "$work/one.log" >&2; exit 1; }
export LINNET_DEPS_CACHE=$work/deps LINNET_IMAGE_CACHE=$work/image GOCACHE=$work/go
release "$work/another/place/of/another/depth" >"$work/two.log" 2>&1 || { cat "$work/two.log" >&2; exit 1; }

sums() { grep -E '^[0-9a-f]{64}  \./' "$1"; }
sums "$work/one.log" >"$work/one.sums"
sums "$work/two.log" >"$work/two.sums"
if ! diff "$work/one.sums" "$work/two.sums" >&2; then
	echo 'twice: the two are not the same' >&2
	exit 1
fi
cat "$work/one.sums"
echo "twice: $(wc -l <"$work/one.sums") files, the same"

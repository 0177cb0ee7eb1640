#!/bin/bash
# Puts together what the suite in a machine of another architecture runs:
#
#   tree.sh ARCH DIR VERSION
#
# leaves in DIR a tree like the repository's after make. This machine runs the client, limactl and QEMU; the image, the
# agents and the busybox of the test image are ARCH's, which make build image ARCH=ARCH has made. The client is told by the linker
# that its machine is another one.
set -euo pipefail
arch=$1 dir=$2 version=$3
case $arch in
amd64) machine=x86_64 ;;
arm64) machine=aarch64 ;;
esac
ours=github.com/linnet-dev/linnet/pkg
rm -rf "$dir"
mkdir -p "$dir"/bin "$dir"/libexec/linnet/{bin,image,share/lima}
CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags "-s -w -X $ours/agent.Version=$version -X $ours/lima.machineArch=$arch" \
	-o "$dir/bin/" ./cmd/linnet ./cmd/linnet-build ./cmd/linnet-compose ./cmd/linnet-lint
cp "bin-$arch/linnet-agent" "bin-$arch/linnet-env" "$dir/bin/"
go run ./deps/build lima
cp libexec/linnet/bin/limactl "$dir/libexec/linnet/bin/"
cp "libexec/linnet-$arch/share/lima/lima-guestagent.Linux-$machine" "$dir/libexec/linnet/share/lima/"
cp -a --sparse=always "libexec/linnet-$arch/image/$machine" "$dir/libexec/linnet/image/"

# The test image's program, from Debian's own package.
busybox=_output/busybox-$arch
if [ ! -e "$busybox" ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	deps/sysroot.sh "$arch" "$work" busybox-static
	cp "$(find "$work/root" -name busybox -type f -path '*bin/*')" "$busybox.new"
	mv "$busybox.new" "$busybox"
fi
cp "$busybox" "$dir/busybox"

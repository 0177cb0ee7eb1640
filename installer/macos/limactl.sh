#!/bin/sh
# Builds the pinned Lima on a Mac, for that Mac's processor, and signs limactl so that it may run virtual machines:
#
#	installer/macos/limactl.sh [DIR]
#
# DIR is where make dist looks for it: _output/components/darwin-<arch> unless it is named. LINNET_SIGN_IDENTITY is the identity in the
# keychain to sign with; without it the signature is ad hoc, which is enough on every Mac that gets the file by another way than a browser.
# limactl needs cgo, and so the command line tools of Xcode: without it, it cannot speak to the Virtualization framework.
set -eu
cd "$(dirname "$0")/../.."

fail() {
	echo "limactl: $1" >&2
	echo "hint: $2" >&2
	exit 1
}

[ "$(uname -s)" = Darwin ] || fail "limactl is built on a Mac, and this is $(uname -s)" 'make dist leaves it out elsewhere, and says so'
xcode-select -p >/dev/null 2>&1 || fail 'there is no C compiler' 'xcode-select --install'

arch=$(go env GOARCH)
to=${1:-_output/components/darwin-$arch}
mkdir -p "$to"
to=$(cd "$to" && pwd)
version=$(sed -n 's|.*github.com/lima-vm/lima/v2 \(v[0-9.]*\).*|\1|p' deps/lima/go.mod)

go run ./deps/build -prefix "$to" lima # the guest's agent, which is Linux's
rm -f "$to/bin/limactl"
CGO_ENABLED=1 go build -C deps/lima -mod=readonly -trimpath -buildvcs=false \
	-ldflags "-s -w -X github.com/lima-vm/lima/v2/pkg/version.Version=$version" \
	-o "$to/bin/limactl" github.com/lima-vm/lima/v2/cmd/limactl
codesign --force --options runtime --entitlements installer/macos/limactl.entitlements \
	--sign "${LINNET_SIGN_IDENTITY:--}" "$to/bin/limactl"
codesign --verify --strict "$to/bin/limactl"

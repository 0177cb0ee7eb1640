#!/bin/sh
# Tries linnet on a Mac, from a clone with `make build` and limactl:
#
#	.ci/macos.sh start    everything up to the virtual machine's start
#	.ci/macos.sh run      the main job, in a real virtual machine; libexec/linnet/image has to be there
set -eux
cd "$(dirname "$0")/.."
LINNET_HOME=$(mktemp -d /tmp/ln.XXXXXX)
export LINNET_HOME
linnet=$PWD/bin/linnet
trap '"$linnet" uninstall --force; rm -rf "$LINNET_HOME"' EXIT

"$linnet" version || [ "$1" = start ] # without an image and an agent it names what is missing
"$linnet" config show
"$linnet" completion zsh >/dev/null
codesign --verify --strict libexec/linnet/bin/limactl
codesign --display --entitlements - libexec/linnet/bin/limactl 2>/dev/null | grep -q com.apple.security.virtualization
libexec/linnet/bin/limactl --version
if [ "$1" = start ]; then
	exit
fi

"$linnet" vm start --dry-run
"$linnet" vm start
"$linnet" engine status
[ "$("$linnet" run --rm docker.io/library/busybox:1.37 echo hello)" = hello ]
mkdir "$LINNET_HOME/context"
printf 'FROM docker.io/library/busybox:1.37\nRUN --mount=type=secret,id=s test "$(cat /run/secrets/s)" = secret\nCMD ["cat", "/etc/hostname"]\n' >"$LINNET_HOME/context/Dockerfile"
printf secret >"$LINNET_HOME/secret"
"$linnet" build --secret id=s,src="$LINNET_HOME/secret" -t tried "$LINNET_HOME/context"
rm -rf "$LINNET_HOME/context" "$LINNET_HOME/secret"
"$linnet" run -d --name web -p 18080:80 docker.io/library/busybox:1.37 httpd -f -h /etc
curl -fsS --retry 10 --retry-connrefused --retry-delay 1 http://127.0.0.1:18080/hostname
"$linnet" rm -f web
"$linnet" vm stop

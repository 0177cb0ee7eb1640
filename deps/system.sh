#!/bin/sh
# The Debian packages that linnet needs on this machine:
#
#   deps/system.sh [build] [run] [demo] [test] [vm] [install] [arm64]     (none: all but the last three)
#
# It names what is missing, installs that and asks nothing. Where all is there it does nothing,
# needs no root and takes a few milliseconds.
set -eu

# What each purpose needs, and what for.
build='gcc libc6-dev pkg-config libseccomp-dev git make ca-certificates' # runc has C in it, and so has the race detector
run='iptables libseccomp2 kmod'                                          # the engine's own prerequisites
demo='curl'                                                              # fetches pages
test='busybox-static curl iproute2 util-linux procps qemu-user-static python3' # the test image, looking at the machine, another processor, a client of Docker's API
vm='qemu-system-x86 qemu-utils openssh-client mmdebstrap e2fsprogs cpio kmod xz-utils zstd' # runs the guest; makes its image
roots='mmdebstrap busybox-static iproute2 iptables util-linux' # roots of Debian to install on, looking at them
# On amd64, to build for arm64: the C toolchain for runc, the emulator that Debian's packages are installed with, and the machine.
arm64='gcc-aarch64-linux-gnu libc6-dev-arm64-cross pkg-config qemu-user-static qemu-system-arm qemu-efi-aarch64'
# A docker to stand beside: see docker below.

say() { printf 'system: %s\n' "$*" >&2; }

purposes=${*:-build run demo test}
wanted=
docker=
for purpose in $purposes; do
	case $purpose in
	build) wanted="$wanted $build" ;;
	run) wanted="$wanted $run" ;;
	demo) wanted="$wanted $demo" ;;
	test) wanted="$wanted $test" docker=yes ;;
	vm) wanted="$wanted $vm" ;;
	install) wanted="$wanted $roots" ;;
	arm64) wanted="$wanted $arm64" ;;
	*)
		say "unknown purpose \"$purpose\""
		echo 'hint: build, run, demo, test, vm, install or arm64' >&2
		exit 2
		;;
	esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	# Not an error: whatever really is missing, the step that needs it says so.
	say "this is not a Debian system: see to it yourself that these are there:$wanted"
	exit 0
fi

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=
for package in $wanted; do
	case " $missing " in *" $package "*) continue ;; esac
	installed "$package" || missing="$missing $package"
done
# Any docker will do: a machine that has one keeps it.
if [ -n "$docker" ] && { command -v dockerd || [ -x /usr/sbin/dockerd ]; } >/dev/null; then
	docker=
fi
missing="$missing${docker:+ docker.io}"
[ -n "$missing" ] || exit 0

say "missing:$missing"
if [ "$(id -u)" != 0 ]; then
	say "only root can install packages"
	echo "hint: sudo apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

# Debian starts a service as soon as its package is installed. A docker that starts by itself
# would change this machine's firewall, so while apt runs, nothing may be started: invoke-rc.d
# asks this program, and 101 means no. One that was there before comes back.
policy=/usr/sbin/policy-rc.d
mark='# linnet: deps/system.sh put this here, and a run that was killed left it'
forbid_services() {
	if [ -e $policy ] && ! grep -qsF "$mark" $policy; then
		mv $policy $policy.linnet-saved
	fi
	printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >$policy
	chmod 755 $policy
}
allow_services() {
	if grep -qsF "$mark" $policy; then rm -f $policy; fi
	if [ -e $policy.linnet-saved ]; then mv $policy.linnet-saved $policy; fi
}
trap allow_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
quietly() { # apt has much to say, and all of it matters only when it fails
	say "$*"
	if ! "$@" >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		rm -f "$log"
		say "failed: $*"
		exit 1
	fi
}
install='apt-get install --yes --no-install-recommends -o Dpkg::Options::=--force-confold'
quietly apt-get update
if [ -n "$docker" ]; then
	forbid_services
fi
# shellcheck disable=SC2086 # words on purpose
quietly $install $missing
if [ -n "$docker" ]; then
	# Nor after the next boot: the tests start a docker of their own and end it.
	for unit in docker.socket docker.service containerd.service; do
		systemctl disable --quiet "$unit" 2>/dev/null || true
	done
fi
rm -f "$log"

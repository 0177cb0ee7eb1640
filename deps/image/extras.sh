#!/bin/bash
# Packages of which only single files are wanted, fetched with the guest's own apt state and unpacked beside
# it, never installed (a kernel package would bring an initrd's tools along):
#
#   extras.sh DIR ARCH ROOT
set -euo pipefail
export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG
dir=$1 arch=$2
mkdir -p "$dir/debs"
cd "$dir/debs"

kernel=$(apt-cache depends "linux-image-$arch" | sed -n 's/^ *Depends: //p' | grep '^linux-image-' | head -1)
apt-get -qq -o APT::Sandbox::User=root download "$kernel" qemu-user >/dev/null
dpkg-deb -x "$kernel"_*.deb "$dir/kernel"
dpkg-deb -x qemu-user_*.deb "$dir/qemu"
for deb in *.deb; do
	dpkg-deb -W --showformat '${Package} ${Version} ${Architecture}\n' "$deb"
done >"$dir/packages"
rm -rf "$dir/debs"

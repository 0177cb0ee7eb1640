#!/bin/bash
# Takes out of a root what the guest never uses: trim.sh ROOT
set -euo pipefail
cd "$1"
rm -rf var/lib/apt var/cache/* var/log/* var/lib/dpkg etc/apt tmp/* run/* boot/* \
	usr/share/{doc,man,info,locale,lintian,bug,bash-completion,zsh,polkit-1,common-licenses} \
	usr/share/i18n usr/lib/locale \
	etc/ssh/ssh_host_* etc/machine-id etc/hostname etc/resolv.conf

#!/bin/bash
# Takes out of a root what the guest never uses: trim.sh ROOT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$1"
# What installing packages took: nothing is installed in a guest that runs. The list of packages is in the manifest.
for package in dpkg perl-base perl liberror-perl debconf init-system-helpers sysvinit-utils openssl; do
	for list in "var/lib/dpkg/info/$package.list" "var/lib/dpkg/info/$package":*.list; do
		[ -e "$list" ] || continue
		while read -r path; do
			[ -d ".$path" ] && [ ! -L ".$path" ] || rm -f ".$path"
		done <"$list"
	done
done
rm -rf usr/lib/*-linux-gnu/{perl-base,perl,perl5,libperl.so.*,gconv,libdb-5.3.so} usr/share/perl* usr/bin/perl* etc/perl usr/lib/*-linux-gnu/security/pam_userdb.so \
	usr/lib/systemd/systemd-{networkd*,network-generator,logind,hostnamed,localed,timedated,pcrlock,measure,storagetm} \
	usr/bin/{ssh-add,ssh-agent,ssh-keyscan,ssh-copy-id,localedef,rdma,networkctl} usr/sbin/{bridge,devlink,vdpa,dcb,tipc}
# git fetches and unpacks repositories here, and their submodules; it serves and edits none.
rm -rf usr/lib/git-core/{git-daemon,git-http-backend,git-http-push,git-imap-send,git-shell,git-subtree,git-instaweb,git-filter-branch} \
	usr/lib/git-core/{git-add--interactive,git-cvs*,git-p4,git-send-email,git-svn,git-mergetool*,mergetools,scalar} \
	usr/bin/{scalar,git-shell} usr/share/gitweb usr/share/git-core/{contrib,templates/hooks}
rm -rf var/lib/apt var/cache/* var/log/* var/lib/dpkg etc/apt tmp/* run/* boot/* \
	usr/share/{doc,man,info,locale,lintian,bug,bash-completion,zsh,polkit-1,common-licenses} \
	usr/share/i18n usr/lib/locale \
	etc/ssh/ssh_host_* etc/machine-id etc/hostname etc/resolv.conf

# systemd: no generators (each is a process at every boot, and again at every daemon-reload) and only the units
# that are used. What is to start, linnet.target says.
rm -rf usr/lib/systemd/system-generators etc/systemd/system usr/lib/systemd/system-preset
mkdir etc/systemd/system
find usr/lib/systemd/system -mindepth 1 -maxdepth 1 -printf '%f\n' | LC_ALL=C sort |
	LC_ALL=C comm -23 - <(sed 's/#.*//' "$here/units" | awk 'NF' | LC_ALL=C sort) |
	while read -r unit; do rm -rf "usr/lib/systemd/system/$unit"; done

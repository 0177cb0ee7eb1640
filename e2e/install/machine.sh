#!/bin/sh
# The first process of a machine that is no more than namespaces and a root: what a privileged container has.
#
#   machine.sh ROOT GROUP
#
# It is started as process 1 of a process namespace of its own, in mount, network, UTS and IPC namespaces of its own. GROUP is a
# control group below this host's, made here, and the root of what the machine sees of them. PACKAGES is a directory in which its apt keeps what it
# has fetched. The host's own mounts are not in it.
# It says "ready" when all is there.
set -eu
root=$1 group=$2 packages=$3

hierarchies() { # of control groups: the path, the kind, and what a mount of it is told
	awk '{ for (i = 7; $i != "-"; i++); kind = $(i + 1); told = $(i + 3)
		sub(/^rw,?/, "", told); sub(/^ro,?/, "", told)
		if (kind ~ /^cgroup2?$/) print $5, kind, (told ~ /^name=/ ? "none," told : told) }' /proc/self/mountinfo
}

if [ "${4:-}" != inside ]; then
	mount --make-rprivate /
	hierarchies | while read -r path kind told; do
		mkdir "$path/$group"
		# In a group that is new, these have to be said before a process may be in it.
		for file in cpuset.cpus cpuset.mems; do
			[ "$kind" != cgroup ] || [ ! -e "$path/$file" ] || cat "$path/$file" >"$path/$group/$file"
		done
	done
	# Not in the loop, which is a process of its own. 0 is this one.
	for path in $(hierarchies | cut -d' ' -f1); do
		echo 0 >"$path/$group/cgroup.procs"
	done
	exec unshare --cgroup sh "$0" "$root" "$group" "$packages" inside
fi

hostname "$(basename "$group")"
ip link set lo up
mount --bind "$root" "$root"
mount --bind "$packages" "$root/var/cache/apt/archives"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/lock"

mount -t tmpfs -o mode=755 tmpfs "$root/dev"
while read -r name major minor; do
	mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done <<-EOF
	null 1 3
	zero 1 5
	full 1 7
	random 1 8
	urandom 1 9
	tty 5 0
EOF
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for n in 0:stdin 1:stdout 2:stderr; do
	ln -s "/proc/self/fd/${n%:*}" "$root/dev/${n#*:}"
done

# The same hierarchies as on the host, each from the group down. In the one of the second version a group that hands on
# controllers has no process in it: so this one moves on.
if ! hierarchies | grep -q '^/sys/fs/cgroup cgroup2'; then
	mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
fi
hierarchies | while read -r path kind told; do
	mkdir -p "$root$path"
	if [ "$kind" = cgroup2 ]; then
		mount -t cgroup2 cgroup2 "$root$path"
		mkdir "$root$path/init"
		echo 1 >"$root$path/init/cgroup.procs"
	else
		mount -t cgroup -o "$told" cgroup "$root$path"
	fi
done

cd "$root"
mkdir -p mnt/host
pivot_root . mnt/host
exec chroot . /bin/sh -c 'umount -l /mnt/host; rmdir /mnt/host; echo ready; sleep infinity & wait'

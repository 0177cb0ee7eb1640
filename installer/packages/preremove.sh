#!/bin/sh
# Runs before the package's files are removed. It stops and removes nothing: what the engine keeps is the user's.
# dpkg says "remove", and "upgrade" where a new version follows; rpm says how many versions are left.
case "${1:-}" in
remove | 0)
	echo "linnet: the programs go, and what the engines keep stays in each user's ~/.linnet" >&2
	echo "hint: linnet uninstall removes that too; install linnet again for it where it has gone" >&2
	;;
esac

#!/usr/bin/env bash
# Runs targets of the Makefile in order, and shows in a table what each took and may take:
#
#   deps/ledger.sh TOTAL TARGET=SECONDS...
#
# The table comes before the last target, a short one, whose lines so are the last.
# The first target that fails ends it, with make's exit code. A target that takes more than its SECONDS fails it at the end,
# and so do all of them when they take more than TOTAL. These budgets are for filled caches. When packages, components or
# the image had to be made, the only budget is an hour for all. SLOWER=2 in the environment doubles every budget.
set -euo pipefail
cd "$(dirname "$0")/.."

total=${1:?usage: deps/ledger.sh TOTAL TARGET=SECONDS...} cold=3600 slower=${SLOWER:-1}
shift

# compiled reports whether Go's cache has all third-party packages as the race detector wants them.
compiled() {
	[ -z "$(go list -race -deps -f '{{with .Module}}{{if and $.Stale (not .Main)}}{{$.ImportPath}}{{end}}{{end}}' ./cmd/...)" ]
}

# made lists what is kept from run to run: components, the image's Debian half, Debian's packages.
made() {
	local cache=${XDG_CACHE_HOME:-$HOME/.cache}/linnet
	ls "${LINNET_DEPS_CACHE:-$cache/deps}" "${LINNET_IMAGE_CACHE:-$cache/image}" 2>/dev/null || true
	cksum /var/lib/dpkg/status 2>/dev/null || true
}


# row NAME SECONDS BUDGET
over=0
row() {
	local mark=
	if [ "$3" != - ] && (($2 > $3)); then
		mark='  OVER' over=1
	fi
	printf '%-18s %8s %8s%s\n' "$1" "$2" "$3" "$mark"
}

# table shows what was run, and sets over when something took too long.
table() {
	[ "$(made)" = "$before" ] || state=cold
	local most=$total
	[ $state = warm ] || most=$cold
	printf '\n%-18s %8s %8s\n' "part ($state)" seconds budget
	for i in "${!parts[@]}"; do
		budget=-
		[ $state = cold ] || budget=$((${parts[i]#*=} * slower))
		row "${parts[i]%=*}" "${took[i]}" "$budget"
	done
	row all "$SECONDS" $((most * slower))
	echo
}

before=$(made)
state=warm
compiled || state=cold
parts=() took=() code=0
for part; do
	[ "$part" != "${*: -1}" ] || table
	began=$SECONDS
	"${MAKE:-make}" --no-print-directory "${part%=*}" || code=$?
	parts+=("$part") took+=($((SECONDS - began)))
	if ((code)); then
		[ "$part" = "${*: -1}" ] || table # it stands already
		echo "${part%=*} failed" >&2
		exit $code
	fi
done
if ((over)); then
	echo 'every part is green, and not within its budget' >&2
	echo 'hint: find out what has become slow, and change a budget in the Makefile only with a reason; SLOWER=2 is for a busy machine' >&2
	exit 1
fi

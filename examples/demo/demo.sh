#!/usr/bin/env bash
# linnet's main job on real input, with the finished client: `make demo`.
#
# Every command that does something is shown as one would type it. The demo runs in your own
# engine (LINNET_HOME, or ~/.linnet), under names that begin with linnet-demo, and removes all
# that it made there, also when it fails or is interrupted.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PWD/../../bin:$PATH"
export COMPOSE_PROJECT_NAME=linnet-demo
cache=${XDG_CACHE_HOME:-$HOME/.cache}/linnet/demo
mkdir -p "$cache"
exec 9>"$cache/lock"
flock -n 9 || {
	echo 'demo: another demo is running; this one waits for it'
	flock 9
}

work=$(mktemp -d)
log=$work/log
images='linnet-demo/guestbook linnet-demo/redis linnet-demo/debian'

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[m'; else bold='' plain=''; fi
section() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
shown() { # the command as one would type it
	local line='$' word safe='^[A-Za-z0-9_./:=,@%+-]+$'
	for word in "$@"; do
		word=${word//"$work"\//}
		[[ $word =~ $safe ]] || word="'${word//\'/\'\\\'\'}'"
		line+=" $word"
	done
	printf '%s\n' "$line"
}
run() {
	shown "$@"
	"$@" 9>&-
}
quietly() { # the output is shown when it fails
	shown "$@"
	local from=${EPOCHREALTIME/./}
	if ! "$@" >"$log" 2>&1 9>&-; then
		cat "$log"
		return 1
	fi
	local took=$(((${EPOCHREALTIME/./} - from) / 100000))
	printf '  done in %d.%d s\n' $((took / 10)) $((took % 10))
}
answers() { # waits for the service: the port is there at once, the program behind it may need a moment
	local i
	for ((i = 0; i < 300; i++)); do
		if curl -fsS -o "$work/page" "$url/health" 2>"$log"; then return; fi
		sleep 0.1
	done
	cat "$log"
	fail 'the service does not answer'
}
fetch() { run curl -fsS "$url/$1" | tee "$work/page"; }
expect() { # the page that was fetched last says so
	grep -qF -- "$1" "$work/page" || fail "the page does not say \"$1\""
}
fail() {
	echo "demo: $*" >&2
	exit 1
}

remove() { # all that the demo makes in the engine, whether it is there or not
	linnet compose down -v
	linnet rm -f linnet-demo-web
	# shellcheck disable=SC2086 # three images
	linnet rmi -f $images
}
# One that was killed may have left something.
trap 'code=$?; trap "" INT TERM HUP; remove >"$log" 2>&1 9>&-; rm -rf "$work"; exit $code' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# The first free port from here; compose.yaml reads it. Published ports of other engines are
# rules, and no process listens there.
PORT=18080
taken() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || iptables -t nat -S | grep -qE -- "--dports? $1 "; }
while taken "$PORT"; do PORT=$((PORT + 1)); done
export PORT
url=http://127.0.0.1:$PORT

# The release key, and a copy of the project to work in.
(umask 077 && head -c 24 /dev/urandom | base64 >"$work/release.key")
cp -R app "$work/app"
key_id=$(sha256sum <"$work/release.key" | cut -c1-8)
goroot=$(go env GOROOT)

section '1. The engine starts with the first command that needs it.'
run linnet ps
remove >"$log" 2>&1 9>&- || true

section '2. Images from Debian packages: a base, and Redis on top of it.'
shown ./rootfs.sh redis-server busybox-static
rootfs=$(./rootfs.sh redis-server busybox-static)
echo "  $rootfs"
quietly linnet build -t linnet-demo/debian -f debian/Dockerfile "$rootfs"
quietly linnet build -t linnet-demo/redis database

section '3. A Go service, built with a secret (the release key) and a cache mount (the Go build cache).'
build=(linnet build -t linnet-demo/guestbook --build-context "go=$goroot"
	--secret "id=release-key,src=$work/release.key" --build-arg "KEY_ID=$key_id" "$work/app")
quietly "${build[@]}"
echo "  now with another release in the source: the step runs again, and compiles only what changed"
release=$(date +%H:%M:%S)
echo "\$ echo $release > app/release.txt"
echo "$release" >"$work/app/release.txt"
quietly "${build[@]}"
echo '  is the key in the image?'
run linnet save -o "$work/image.tar" linnet-demo/guestbook
mkdir "$work/image"
tar -C "$work/image" -xf "$work/image.tar"
found() { find "$work/image" -type f -exec zcat -f {} + | grep -acF -- "$1" || true; }
[ "$(found 'guestbook, release')" != 0 ] || fail 'the image does not even hold the program'
[ "$(found "$(cat "$work/release.key")")" = 0 ] || fail 'the key is in the image'
echo '  no: the program is, the signature is, the key is not'

section '4. It runs, with a port published and a variable from this environment.'
export GREETING="hello from $(hostname)"
run linnet run -d --name linnet-demo-web -p "127.0.0.1:$PORT:8080" -e GREETING linnet-demo/guestbook
answers
fetch ''
expect "release $release"
expect "$GREETING"
run linnet rm -f linnet-demo-web

section '5. The service and its database, by compose.yaml.'
quietly linnet compose up -d
answers
fetch '?guest=Ada'
fetch '?guest=Grace'
expect 'guests: Ada, Grace'
run linnet compose ps
# A probe now, rather than when its interval is over.
run linnet container healthcheck linnet-demo-database-1
run linnet compose exec -T database redis-cli LRANGE guests 0 -1 | tee "$work/page"
expect Ada

section '6. Everything but the volume is removed and made again: the guests are still there.'
quietly linnet compose down
quietly linnet compose up -d
answers
fetch ''
expect 'guests: Ada, Grace'
run linnet engine status

section '7. All of it goes.'
quietly linnet compose down -v
# shellcheck disable=SC2086 # three images
quietly linnet rmi -f $images
left=$(linnet ps -aq --filter name=linnet-demo && linnet volume ls -q --filter name=linnet-demo && linnet images -q --filter reference='linnet-demo/*')
[ -z "$left" ] || fail "something is left: $left"

section 'demo: OK'
echo "The engine runs on, with the build cache; \`linnet engine stop\` stops it, \`linnet engine reset\` removes it.
What came from Debian is kept in $cache."

#!/usr/bin/env bash
# Runs every fuzz target of the repository for a while, one after another:
#
#   deps/fuzz.sh DURATION [PACKAGE...]     (5s; all packages)
#
# go test fuzzes one target at a time, so they have to be found first.
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:?usage: deps/fuzz.sh DURATION [PACKAGE...]}
shift
packages=("${@:-./...}")

# Only packages with a target are compiled.
mapfile -t dirs < <(go list -f '{{$dir := .Dir}}{{range .TestGoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$dir}}/{{.}}{{"\n"}}{{end}}' "${packages[@]}" |
	sed '/^$/d' | xargs -r grep -lE '^func Fuzz[A-Z]' | xargs -rn1 dirname | sort -u)

corpus=$(go env GOCACHE)/fuzz tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=() count=0
for dir in "${dirs[@]}"; do
	# One instrumented binary has all targets of a package.
	go test -c -fuzz . -o "$tmp/fuzz" "$dir"
	for target in $(cd "$dir" && "$tmp/fuzz" -test.list '^Fuzz'); do
		count=$((count + 1))
		echo "fuzz ${dir#"$PWD"/} $target"
		# -run none: the unit tests, and the corpus with them, have run elsewhere.
		if ! out=$(cd "$dir" && "$tmp/fuzz" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$duration" \
			-test.fuzzcachedir "$corpus/$(go list)" 2>&1); then
			printf '%s\n' "$out"
			failed+=("${dir#"$PWD"/} $target")
		fi
	done
done
if ((${#failed[@]})); then
	printf 'fuzz: failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
if ((count == 0)); then
	echo 'fuzz: there is no fuzz target' >&2
	exit 1
fi
echo "fuzz: $count targets, $duration each"

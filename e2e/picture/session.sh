# What the picture in the README shows: typed at the root of a clone, as root.
typed() {
	printf '\e[1m$ %s\e[0m\n' "$*"
	eval "$*"
}
trap 'linnet rm -f web >/dev/null 2>&1 || true' EXIT
typed linnet build -t app --build-context host=/bin examples/build/base
typed linnet run -d --name web -p 18080:80 -v ./examples:/www:ro app httpd -f -h /www
typed "curl -s localhost:18080/build/README.md | head -1"
typed "linnet ps --format '{{.Names}}: {{.Status}}, {{.Ports}}'"
typed "linnet run --rm app sh -c 'exit 7' || echo \$?"

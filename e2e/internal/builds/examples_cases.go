//go:build e2e

package builds

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// exampleCases are a case per project: it follows what the project's Dockerfile says to do, and
// observes what came of it.
var exampleCases = map[string]func(example){
	"add-archive": func(x example) {
		x.follow()
		x.is("out/unpacked/index.html", "<h1>hello</h1>\n")
		archive := x.read(filepath.Join(x.dir, "site.tar.gz"))
		x.is("out/archives/site.tar.gz", archive)
		x.is("out/copied/site.tar.gz", archive)
	},
	"add-checksum": func(x example) {
		server := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(x.dir, "files"))))
		defer server.Close()
		url := x.fromEngine(server.URL)
		x.follow("URL=" + url)
		x.is("out/release.txt", "release 7\n")
		r := x.Engine.Run(x, "build", "--build-arg", "URL="+url, "--build-arg", "SUM="+strings.Repeat("0", 64), x.dir)
		if r.Code == 0 || !strings.Contains(r.Err, "digest mismatch") {
			x.Errorf("another file than the digest's: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"add-git": func(x example) {
		address, commit := repository(x.T)
		address = x.fromEngine(address)
		x.follow("REPOSITORY="+address, "COMMIT="+commit)
		x.is("out/whole/docs/manual.txt", "how to\n")
		x.is("out/docs/manual.txt", "how to\n")
		x.gone("out/whole/.git", "out/whole/later.txt", "out/docs/docs")
		x.is("out/history/.git/HEAD", commit+"\n")
		r := x.Engine.Run(x, "build", "--build-arg", "REPOSITORY="+address, "--build-arg", "COMMIT="+strings.Repeat("1", 40), x.dir)
		if r.Code == 0 || !strings.Contains(r.Err, strings.Repeat("1", 40)) {
			x.Errorf("another commit than the checksum's: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"arg-from": func(x example) {
		x.follow()
		x.is("out/plain/flavour", "plain\n")
		x.is("out/rich/flavour", "rich\n")
		x.is("out/plain/version", "before <>\nafter <7>\n")
	},
	"base": func(x example) {
		x.follow()
		if got := x.runs("linnet-example/base", "busybox"); !strings.HasPrefix(got, "BusyBox") {
			x.Errorf("it says %q", got)
		}
	},
	"config": func(x example) {
		x.ends(x.follow(), "usual green very large /app/data 1000\ninstead green very large /app/data 1000\n")
		x.config("linnet-example/config", `"example.purpose":"to be looked at"`, `"example.team":"shop"`, `"8080/tcp":{}`, `"53/udp":{}`, `"Volumes":{"/app/data":{}}`, `"User":"1000:1000"`)
	},
	"contexts": func(x example) {
		x.follow()
		x.is("out/given/assets/logo.txt", "logo\n")
		x.is("out/given/settings", "colour=grey\n")
		x.is("out/replaced/settings", "colour=red\n")
		x.is("out/image/assets/etc/group", "root:x:0:\n")
	},
	"copy-exclude": func(x example) {
		x.follow()
		x.is("out/src/main.txt", "main.txt\n")
		x.is("out/src/lib/lib.txt", "lib/lib.txt\n")
		x.gone("out/src/notes.md", "out/src/lib/testdata")
	},
	"copy-link": func(x example) {
		was := time.Unix(1700000000, 0)
		page := filepath.Join(x.dir, "site", "index.html")
		if err := os.Chtimes(page, was, was); err != nil {
			x.Fatal(err)
		}
		x.follow()
		x.prints("linnet-example/copy-link", "2\n<h1>It stays</h1>\n", "cat", "/release", "/site/index.html")
		// The cache does not go by a file's time, so it tells what was copied again.
		now := was.Add(time.Hour)
		if err := os.Chtimes(page, now, now); err != nil {
			x.Fatal(err)
		}
		x.Engine.Must(x, "build", "-q", "-t", "linnet-example/copy-link", "--build-arg", "RELEASE=3", x.dir)
		x.prints("linnet-example/copy-link", "1700000000\n1700003600\n", "stat", "-c", "%Y", "/site/index.html", "/copied/index.html")
	},
	"copy-owner": func(x example) {
		x.ends(x.follow(), "/out/number 1000:2000 640\n/out/name 42:43 755\n/out/dir/one 42:43 644\n")
	},
	"copy-parents": func(x example) {
		x.follow()
		x.is("out/all/services/web/deps.txt", "web\n")
		x.is("out/all/services/api/deps.txt", "api\n")
		x.is("out/pivot/web/deps.txt", "web\n")
		x.is("out/pivot/web/code.txt", "code\n")
		x.gone("out/all/services/web/code.txt", "out/pivot/services", "out/pivot/api")
	},
	"directives": func(x example) {
		said := x.follow()
		x.has(said, "no remarks")
		x.ends(said, "one two\n")
		x.write("Dockerfile", "# check=error=true\nFROM scratch as only\nLABEL a=b\n")
		if r := x.Engine.Run(x, "build", x.dir); r.Code == 0 || !strings.Contains(r.Err, "FromAsCasing") {
			x.Errorf("error=true: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"healthcheck": func(x example) {
		x.follow()
		id := x.Engine.Must(x, "run", "-d", "--network", "none", "linnet-example/healthcheck")
		x.Cleanup(func() { x.Engine.Must(x, "rm", "-f", id) })
		health := func(want string) func() bool {
			return func() bool {
				// Before the first check there is no health to ask for.
				return strings.Contains(x.Engine.Must(x, "container", "inspect", "--format", "{{json .State}}", id), `"Status":"`+want+`"`)
			}
		}
		lab.Eventually(x, "the container to be healthy", health("healthy"))
		x.Engine.Must(x, "exec", id, "rm", "/tmp/ready")
		lab.Eventually(x, "the container to be unhealthy", health("unhealthy"))
	},
	"heredoc": func(x example) {
		x.ends(x.follow(), "hello, you (made for you, 42)\n")
		x.prints("linnet-example/heredoc", "second\n", "cat", "/app/EOT")
	},
	"ignore": func(x example) {
		x.follow()
		x.tree("out/app", "important.log main.txt sub/other.txt")
		x.tree("out/docs", "docs/manual.txt")
	},
	"mount-bind": func(x example) {
		x.ends(x.follow(), "apple\nfig\npear\n5\n")
		x.is("words.txt", "pear\napple\npear\nfig\n")
	},
	"mount-cache": func(x example) {
		said := x.follow()
		// Twice built, twice added to; the directory itself is not in the image.
		x.has(said, "build 1\nbuild 2\n770 7\n")
		x.has(said, "linnet-example")
		x.prints("linnet-example/mount-cache", "", "test", "!", "-e", "/cache")
	},
	"mount-secret": func(x example) {
		x.follow()
		x.prints("linnet-example/mount-secret", fmt.Sprintf("%x", sha256.Sum256([]byte("an example of a key\n")))+"  -\n440 7\n", "cat", "/key.sha256", "/token.mode")
		x.prints("linnet-example/mount-secret", "", "test", "!", "-e", "/run/secrets", "-a", "!", "-e", "/etc/token")
		r := x.Engine.Run(x, "build", x.dir, "--no-cache")
		if r.Code == 0 || !strings.Contains(r.Err, "the step needs the secret key, which was not supplied") {
			x.Errorf("without the secret: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"mount-ssh": func(x example) {
		x.follow("SSH_AUTH_SOCK=" + SSHAgent(x.T))
		x.prints("linnet-example/mount-ssh", "/run/deploy.sock\n", "cat", "/where")
		x.asks(SSHAgent(x.T))
	},
	"mount-tmpfs": func(x example) {
		x.follow()
		x.prints("linnet-example/mount-tmpfs", "1000\n", "sh", "-c", "cat /last; test ! -e /work")
	},
	"network": func(x example) {
		x.follow()
		x.prints("linnet-example/network", x.Inside(x.T, "readlink", "/proc/self/ns/net")+"\n", "cat", "/host")
		theirs := strings.Fields(x.Inside(x.T, "ls", "/sys/class/net"))
		ours := strings.Fields(x.runs("linnet-example/network", "cat", "/default"))
		if !slices.ContainsFunc(ours, func(link string) bool { return link != "lo" && slices.Contains(theirs, link) }) {
			x.Errorf("by default there are %q, and the engine's are %q", ours, theirs)
		}
		x.refused("network.host")
	},
	"onbuild": func(x example) {
		x.ends(x.follow(), "one.html\ntwo.html\n")
	},
	"outline": func(x example) {
		x.has(x.follow(), "VERSION", "the release that is built", "CHANNEL", "signing-key", "what ships", "the manual")
	},
	"output": func(x example) {
		x.follow()
		for _, archive := range []string{"report.tar", "again.tar"} {
			to := filepath.Join(x.dir, "from-"+archive)
			x.sh(nil, "mkdir "+to+" && tar -xf "+archive+" -C "+to)
			x.is("from-"+archive+"/latest", "9\n10\n100\n")
		}
		x.is("out/latest", "9\n10\n100\n")
		x.has(x.sh(nil, "tar -tf image.tar"), "index.json")
	},
	"platforms": func(x example) {
		x.follow()
		got := strings.Fields(x.Engine.Must(x, "images", "--format", "{{.Platform}}", "linnet-example/platforms"))
		slices.Sort(got)
		if !slices.Equal(got, []string{"linux/amd64", "linux/arm64"}) {
			x.Errorf("the platforms are %q", got)
		}
		for _, arch := range []string{"amd64", "arm64"} {
			x.Engine.Must(x, "build", "-q", "--platform", "linux/"+arch, "--output", filepath.Join(x.dir, arch), x.dir)
			x.has(x.read(filepath.Join(x.dir, arch, "about")), "built on "+runtime.GOARCH+" for linux and "+arch)
		}
	},
	"provenance": func(x example) {
		x.follow()
		statement := x.statement("layout")
		x.has(statement, `"build-arg:VERSION":"7"`, `"llbDefinition"`, "https://slsa.dev/provenance/")
	},
	"reproducible": func(x example) {
		x.ends(x.follow(), "1700000000\n1700000000\n2023-11-14\n")
		x.has(x.read(filepath.Join(x.dir, "first")), "sha256:")
	},
	"security": func(x example) {
		x.follow()
		x.has(x.runs("linnet-example/security", "cat", "/mounted"), " /mnt tmpfs ")
		x.refused("security.insecure")
	},
	"shell": func(x example) {
		x.follow()
		x.prints("linnet-example/shell", "strict\n", "cat", "/mode")
		x.prints("linnet-example/shell", "/bin/sh runs the command too\n")
		if r := x.Engine.Run(x, "build", "--build-arg", "STRICT=1", x.dir); r.Code == 0 || !strings.Contains(r.Err, "exit code: 1") {
			x.Errorf("STRICT=1: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"stages": func(x example) {
		x.ends(x.follow(), "A SMALL PROGRAM\na small program\n")
		out := filepath.Join(x.dir, "out")
		x.Engine.Must(x, "build", "-q", "--output", out, x.dir)
		x.tree("out", "program")
		if r := x.Engine.Run(x, "build", "--target", "tests", x.dir); r.Code == 0 || !strings.Contains(r.Err, "this is not there") {
			x.Errorf("the target tests: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"stopsignal": func(x example) {
		x.follow()
		id := x.Engine.Must(x, "run", "-d", "--network", "none", "linnet-example/stopsignal")
		x.Cleanup(func() { x.Engine.Must(x, "rm", "-f", id) })
		lab.Eventually(x, "the program to be ready", func() bool { return strings.Contains(x.Engine.Must(x, "logs", id), "ready") })
		x.Engine.Must(x, "stop", "--time", "60", id)
		lab.Eventually(x, "the last words", func() bool { return strings.Contains(x.Engine.Must(x, "logs", id), "asked to finish") })
	},
	"variables": func(x example) {
		x.follow()
		x.is("out/values", `default   fallback v1.22.333-rc1
if set    is set 
empty     <colon> <>
prefix    1.22.333-rc1 usr/lib/tools/bin bin
suffix    v1.22.333 /usr/lib/tools /usr
replaced  :usr/lib/tools/bin :usr:lib:tools:bin
as it is  $VERSION
`)
		x.is("out/of-1.22.333-rc1/file", "/of-1.22.333-rc1\n")
	},
}

//go:build linux

package native_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// example is one project of examples/build in a folder of the test's own.
type example struct {
	*testing.T
	e    *lab.Engine
	name string
	dir  string
}

// exampleTests are a test per project: it follows what the project's Dockerfile says to do, and
// observes what came of it.
var exampleTests = map[string]func(example){
	"add-archive": func(x example) {
		x.follow()
		x.is("out/unpacked/index.html", "<h1>hello</h1>\n")
		archive := read(x.T, filepath.Join(x.dir, "site.tar.gz"))
		x.is("out/archives/site.tar.gz", archive)
		x.is("out/copied/site.tar.gz", archive)
	},
	"add-checksum": func(x example) {
		server := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(x.dir, "files"))))
		defer server.Close()
		x.follow("URL=" + server.URL)
		x.is("out/release.txt", "release 7\n")
		r := x.e.Run(x, "build", "--build-arg", "URL="+server.URL, "--build-arg", "SUM="+strings.Repeat("0", 64), x.dir)
		if r.Code == 0 || !strings.Contains(r.Err, "digest mismatch") {
			x.Errorf("another file than the digest's: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"add-git": func(x example) {
		address, commit := repository(x.T)
		x.follow("REPOSITORY="+address, "COMMIT="+commit)
		x.is("out/whole/docs/manual.txt", "how to\n")
		x.is("out/docs/manual.txt", "how to\n")
		x.gone("out/whole/.git", "out/whole/later.txt", "out/docs/docs")
		x.is("out/history/.git/HEAD", commit+"\n")
		r := x.e.Run(x, "build", "--build-arg", "REPOSITORY="+address, "--build-arg", "COMMIT="+strings.Repeat("1", 40), x.dir)
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
		x.e.Must(x, "build", "-q", "-t", "linnet-example/copy-link", "--build-arg", "RELEASE=3", x.dir)
		x.prints("linnet-example/copy-link", "1700000000\n1700003600\n", "stat", "-c", "%Y", "/site/index.html", "/copied/index.html")
	},
	"copy-owner": func(x example) {
		x.ends(x.follow(), "/out/number 1000:2000 640\n/out/name 42:43 755\n/out/folder/one 42:43 644\n")
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
		if r := x.e.Run(x, "build", x.dir); r.Code == 0 || !strings.Contains(r.Err, "FromAsCasing") {
			x.Errorf("error=true: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"healthcheck": func(x example) {
		x.follow()
		id := x.e.Must(x, "run", "-d", "--network", "none", "linnet-example/healthcheck")
		x.Cleanup(func() { x.e.Must(x, "rm", "-f", id) })
		health := func(want string) func() bool {
			return func() bool {
				// Before the first check there is no health to ask for.
				return strings.Contains(x.e.Must(x, "container", "inspect", "--format", "{{json .State}}", id), `"Status":"`+want+`"`)
			}
		}
		lab.Eventually(x, "the container to be healthy", health("healthy"))
		x.e.Must(x, "exec", id, "rm", "/tmp/ready")
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
		// Twice built, twice added to; the folder itself is not in the image.
		x.has(said, "build 1\nbuild 2\n770 7\n")
		x.has(said, "linnet-example")
		x.prints("linnet-example/mount-cache", "", "test", "!", "-e", "/cache")
	},
	"mount-secret": func(x example) {
		x.follow()
		x.prints("linnet-example/mount-secret", strings.TrimPrefix(digest("an example of a key\n"), "sha256:")+"  -\n440 7\n", "cat", "/key.sha256", "/token.mode")
		x.prints("linnet-example/mount-secret", "", "test", "!", "-e", "/run/secrets", "-a", "!", "-e", "/etc/token")
		r := x.e.Run(x, "build", x.dir, "--no-cache")
		if r.Code == 0 || !strings.Contains(r.Err, "the step needs the secret key, which was not supplied") {
			x.Errorf("without the secret: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"mount-ssh": func(x example) {
		x.follow("SSH_AUTH_SOCK=" + sshAgent(x.T))
		x.prints("linnet-example/mount-ssh", "/run/deploy.sock\n", "cat", "/where")
		x.asks(sshAgent(x.T))
	},
	"mount-tmpfs": func(x example) {
		x.follow()
		x.prints("linnet-example/mount-tmpfs", "1000\n", "sh", "-c", "cat /last; test ! -e /work")
	},
	"network": func(x example) {
		x.follow()
		x.prints("linnet-example/network", link(x.T, "/proc/self/ns/net")+"\n", "cat", "/host")
		x.has(x.runs("linnet-example/network", "cat", "/default"), "eth0")
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
		got := strings.Fields(x.e.Must(x, "images", "--format", "{{.Platform}}", "linnet-example/platforms"))
		slices.Sort(got)
		if !slices.Equal(got, []string{"linux/amd64", "linux/arm64"}) {
			x.Errorf("the platforms are %q", got)
		}
		for _, arch := range []string{"amd64", "arm64"} {
			x.e.Must(x, "build", "-q", "--platform", "linux/"+arch, "--output", filepath.Join(x.dir, arch), x.dir)
			x.has(read(x.T, filepath.Join(x.dir, arch, "about")), "built on "+runtime.GOARCH+" for linux and "+arch)
		}
	},
	"provenance": func(x example) {
		x.follow()
		statement := x.statement("layout")
		x.has(statement, `"build-arg:VERSION":"7"`, `"llbDefinition"`, "https://slsa.dev/provenance/")
	},
	"reproducible": func(x example) {
		x.ends(x.follow(), "1700000000\n1700000000\n2023-11-14\n")
		x.has(read(x.T, filepath.Join(x.dir, "first")), "sha256:")
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
		if r := x.e.Run(x, "build", "--build-arg", "STRICT=1", x.dir); r.Code == 0 || !strings.Contains(r.Err, "exit code: 1") {
			x.Errorf("STRICT=1: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"stages": func(x example) {
		x.ends(x.follow(), "A SMALL PROGRAM\na small program\n")
		out := filepath.Join(x.dir, "out")
		x.e.Must(x, "build", "-q", "--output", out, x.dir)
		x.tree("out", "program")
		if r := x.e.Run(x, "build", "--target", "tests", x.dir); r.Code == 0 || !strings.Contains(r.Err, "this is not there") {
			x.Errorf("the target tests: exit code %d\n%s", r.Code, r.Err)
		}
	},
	"stopsignal": func(x example) {
		x.follow()
		id := x.e.Must(x, "run", "-d", "--network", "none", "linnet-example/stopsignal")
		x.Cleanup(func() { x.e.Must(x, "rm", "-f", id) })
		lab.Eventually(x, "the program to be ready", func() bool { return strings.Contains(x.e.Must(x, "logs", id), "ready") })
		x.e.Must(x, "stop", "--time", "60", id)
		lab.Eventually(x, "the last words", func() bool { return strings.Contains(x.e.Must(x, "logs", id), "asked to finish") })
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

// Every project of examples/build does what it says when its own commands are followed.
func TestExamples(t *testing.T) {
	e := lab.Shared(t)
	top := filepath.Join(lab.Root(), "examples", "build")
	entries, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, entry := range entries {
		if entry.IsDir() {
			folders = append(folders, entry.Name())
		}
	}
	index := read(t, filepath.Join(top, "README.md"))
	test := func(name string) bool {
		return t.Run(name, func(t *testing.T) {
			if !strings.Contains(index, "("+name+"/Dockerfile)") {
				t.Error("examples/build/README.md does not name it")
			}
			run := exampleTests[name]
			if run == nil {
				t.Fatal("it has no test: what is to be seen when it is built?")
			}
			dir := filepath.Join(t.TempDir(), name)
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(top, name))); err != nil {
				t.Fatal(err)
			}
			run(example{T: t, e: e, name: name, dir: dir})
		})
	}
	if !test("base") {
		t.Fatal("the others stand on it")
	}
	for _, name := range folders {
		if name != "base" {
			test(name)
		}
	}
	for name := range exampleTests {
		if !slices.Contains(folders, name) {
			t.Errorf("there is no example %s any more", name)
		}
	}
}

// follow runs the commands of the comment that the Dockerfile begins with, those behind "#" and
// three spaces, as somebody would who reads them, and returns all that they say.
func (x example) follow(env ...string) string {
	x.Helper()
	var script strings.Builder
	for line := range strings.Lines(read(x.T, filepath.Join(x.dir, "Dockerfile"))) {
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			break
		}
		if command, ok := strings.CutPrefix(line, "#   "); ok {
			script.WriteString(command)
		}
	}
	if script.Len() == 0 {
		x.Fatal("its Dockerfile does not say how to build it")
	}
	return x.sh(env, script.String())
}

// sh runs a script in the project's folder, with linnet on the path.
func (x example) sh(env []string, script string) string {
	x.Helper()
	ctx, cancel := context.WithTimeout(x.Context(), lab.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = x.dir
	cmd.Env = append(append(x.e.Environ(), "PATH="+filepath.Dir(lab.Linnet())+":"+os.Getenv("PATH")), env...)
	// What has been said is kept in its order.
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		x.Fatalf("%s\n%v\n%s", script, err, &said)
	}
	return said.String()
}

// is compares a file of the project's folder.
func (x example) is(path, want string) {
	x.Helper()
	if got := read(x.T, filepath.Join(x.dir, path)); got != want {
		x.Errorf("%s is\n%s\nand not\n%s", path, got, want)
	}
}

// gone fails the test when a file is there.
func (x example) gone(paths ...string) {
	x.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(filepath.Join(x.dir, path)); err == nil {
			x.Errorf("%s is there", path)
		}
	}
}

// tree compares the files of a folder.
func (x example) tree(path, want string) {
	x.Helper()
	got := strings.Join(strings.Fields(x.sh(nil, "cd "+path+" && find . -type f -printf '%P\n' | LC_ALL=C sort")), " ")
	if got != want {
		x.Errorf("in %s are %s, and not %s", path, got, want)
	}
}

func (x example) write(path, text string) {
	x.Helper()
	if err := os.WriteFile(filepath.Join(x.dir, path), []byte(text), 0o644); err != nil {
		x.Fatal(err)
	}
}

// has fails the test when a text is missing in another.
func (x example) has(text string, wants ...string) {
	x.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			x.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// ends compares what was said last.
func (x example) ends(said, want string) {
	x.Helper()
	if !strings.HasSuffix(said, want) {
		x.Errorf("it does not end with\n%s\nbut says\n%s", want, said)
	}
}

// runs is what a container of an image prints.
func (x example) runs(image string, command ...string) string {
	x.Helper()
	r := x.e.Run(x, append([]string{"run", "--rm", "--network", "none", image}, command...)...)
	if r.Code != 0 {
		x.Fatalf("%s %q: exit code %d\n%s", image, command, r.Code, r.Err)
	}
	return r.Out
}

// prints compares it.
func (x example) prints(image, want string, command ...string) {
	x.Helper()
	if got := x.runs(image, command...); got != want {
		x.Errorf("%s %q prints %q and not %q", image, command, got, want)
	}
}

// config looks for texts in what an image says of itself.
func (x example) config(image string, wants ...string) {
	x.Helper()
	x.has(x.e.Must(x, "image", "inspect", "--format", "{{json .Config}}", image), wants...)
}

// asks builds with a step that has an SSH agent list its keys, for which busybox has no program.
func (x example) asks(socket string) {
	x.Helper()
	const program = `package main

import ("bytes"; "encoding/binary"; "fmt"; "io"; "net"; "os")

func main() {
	conn, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	if err != nil { panic(err) }
	if _, err := conn.Write([]byte{0, 0, 0, 1, 11}); err != nil { panic(err) }
	var length uint32
	if err := binary.Read(conn, binary.BigEndian, &length); err != nil { panic(err) }
	answer := make([]byte, length)
	if _, err := io.ReadFull(conn, answer); err != nil { panic(err) }
	fmt.Println("the answer is of type", answer[0], "and names the key:", bytes.HasSuffix(answer, []byte("test")))
}
`
	x.write("ask.go", program)
	// In the real home, where the compiler has its cache.
	x.sh([]string{"CGO_ENABLED=0", "HOME=" + os.Getenv("HOME")}, "go build -o ask ask.go")
	x.write("Dockerfile", "FROM scratch\nCOPY ask /\nRUN --mount=type=ssh,required=true [\"/ask\"]\n")
	r := x.e.Run(x, "build", "--progress=plain", "--no-cache", "--ssh", "default="+socket, x.dir)
	x.has(r.Err, "the answer is of type 12 and names the key: true")
}

// refused builds without --allow.
func (x example) refused(right string) {
	x.Helper()
	r := x.e.Run(x, "build", x.dir)
	if r.Code == 0 || !strings.Contains(r.Err, "asks for "+right+", which is not allowed") {
		x.Errorf("without --allow %s: exit code %d\n%s", right, r.Code, r.Err)
	}
}

// statement is the provenance of an OCI layout's image, in one line.
func (x example) statement(layout string) string {
	x.Helper()
	blobs, err := filepath.Glob(filepath.Join(x.dir, layout, "blobs", "sha256", "*"))
	if err != nil {
		x.Fatal(err)
	}
	for _, blob := range blobs {
		text := read(x.T, blob)
		if strings.HasPrefix(text, "{") && strings.Contains(text, `"predicateType"`) && strings.Contains(text, `"predicate":`) {
			var line bytes.Buffer
			if err := json.Compact(&line, []byte(text)); err != nil {
				x.Fatal(err)
			}
			return line.String()
		}
	}
	x.Fatalf("%s has no statement", layout)
	return ""
}

// repository serves a git repository over http, and says which commit its tag v1 is.
func repository(t *testing.T) (address, commit string) {
	t.Helper()
	root := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", root, "-c", "user.name=test", "-c", "user.email=test@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q", "-b", "main")
	write("docs/manual.txt", "how to\n")
	git("add", ".")
	git("commit", "-q", "-m", "first")
	git("tag", "v1")
	commit = git("rev-parse", "HEAD")
	write("later.txt", "later\n")
	git("add", ".")
	git("commit", "-q", "-m", "second")

	backend := filepath.Join(git("--exec-path"), "git-http-backend")
	server := httptest.NewServer(&cgi.Handler{Path: backend, Env: []string{
		"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}})
	t.Cleanup(server.Close)
	return server.URL + "/.git", commit
}

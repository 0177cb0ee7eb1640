//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// Ctrl-C ends a build within two seconds, whatever it is at, with the exit code that a shell shows
// for it, and leaves no lease, no image and no running step behind.
func TestAnInterruptedBuildLeavesNothing(t *testing.T) {
	e := lab.Shared(t)
	base := e.Busybox(t)
	for name, c := range map[string]struct {
		dockerfile string
		files      func(dir string) error
		reached    string // what plain progress shows once the phase is reached
	}{
		"sending": {"FROM scratch\nCOPY large /\n", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "large"), make([]byte, 400<<20), 0o644)
		}, "transferring context:"},
		"running":   {"FROM BASE\nRUN echo it runs; sleep 600\n", nil, "it runs\n"},
		"exporting": {"FROM BASE\nRUN head -c 500000000 /dev/urandom >/large\n", nil, "exporting layers"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.files != nil {
				if err := c.files(dir); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(strings.ReplaceAll(c.dockerfile, "BASE", base)), 0o644); err != nil {
				t.Fatal(err)
			}
			leases, images := temporary(t, e), e.Must(t, "images", "--quiet", "--no-trunc")
			interruptBuild(t, e.Command(t.Context(), "build", "--progress=plain", "--no-cache", "-t", "interrupted-"+name, dir), c.reached)
			lab.Eventually(t, "the leases to be gone", func() bool { return slices.Equal(temporary(t, e), leases) })
			if got := e.Must(t, "images", "--quiet", "--no-trunc"); got != images {
				t.Errorf("the images are\n%s\nand were\n%s", got, images)
			}
			lab.Eventually(t, "the step to be gone", func() bool { return steps(t, e) == "" })
		})
	}
}

// Ctrl-C while the engine is being started for a build ends the build; the engine may come up.
func TestAnInterruptedStartOfABuild(t *testing.T) {
	e := lab.New(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nLABEL a=b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	interruptBuild(t, e.Command(t.Context(), "build", "--progress=plain", dir), "starting the engine")
	e.Must(t, "build", "-q", dir)
}

// interruptBuild starts a command, waits until it has said something, and presses Ctrl-C.
func interruptBuild(t *testing.T, cmd *exec.Cmd, reached string) {
	t.Helper()
	said := &heard{want: reached, is: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = io.Discard, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit code is asserted on
		close(ended)
	}()
	select {
	case <-said.is:
	case <-ended:
		t.Fatalf("it ended before it said %q\n%s", reached, said)
	case <-time.After(lab.Timeout):
		t.Fatalf("it never said %q\n%s", reached, said)
	}
	start := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill() // it is asserted on below
		<-ended
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130\n%s", code, said)
	}
}

// heard is what a command says, and whether it has said something yet.
type heard struct {
	want string
	is   chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
	done bool
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Write(p)
	if !h.done && strings.Contains(h.text.String(), h.want) {
		h.done = true
		close(h.is)
	}
	return len(p), nil
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// ctr asks containerd itself.
func ctr(t *testing.T, e *lab.Engine, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), lab.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(lab.Root(), "libexec", "linnet", "bin", "ctr"),
		append([]string{"--address", filepath.Join(e.Home, "native", "run", "containerd.sock"), "--namespace", "default"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ctr %q: %v", args, err)
	}
	return string(out)
}

// temporary are the leases that are held for what is under way.
func temporary(t *testing.T, e *lab.Engine) (ids []string) {
	t.Helper()
	// For five minutes BuildKit keeps one for each base image that it has looked up, as a cache.
	// Whatever is pruned, those go.
	forget := exec.Command(filepath.Join(lab.Root(), "libexec", "linnet", "bin", "buildctl"),
		"--addr", "unix://"+filepath.Join(e.Home, "native", "run", "buildkitd.sock"), "prune", "--filter", "id==none")
	if out, err := forget.CombinedOutput(); err != nil {
		t.Fatalf("forgetting base images: %v\n%s", err, out)
	}
	for line := range strings.Lines(ctr(t, e, "leases", "ls")) {
		// A view of a snapshot is cached by BuildKit under a lease that is called temporary.
		if id := strings.Fields(line)[0]; (strings.Contains(line, "temporary") || strings.Contains(line, "gc.expire")) && !strings.HasSuffix(id, "-view") {
			ids = append(ids, id)
		}
	}
	return ids
}

// steps are the containers in which steps of builds run.
func steps(t *testing.T, e *lab.Engine) string {
	t.Helper()
	return ctr(t, e, "tasks", "ls", "--quiet")
}

// A build that fails says where and why in one line, and what to do in another.
func TestBuildErrors(t *testing.T) {
	e := lab.Shared(t)
	base := e.Busybox(t)
	for name, c := range map[string]struct {
		dockerfile, want string
		args             []string
	}{
		"syntax":        {"FROM scratch\nCOPYY a b\n", "linnet: building: DIR/Dockerfile:2: unknown instruction: COPYY (did you mean COPY?)\n", nil},
		"a failed step": {"FROM BASE\nRUN exit 7\n", "linnet: building: DIR/Dockerfile:2: process \"/bin/sh -c exit 7\" did not complete successfully: exit code: 7\n", nil},
		"unknown stage": {
			"FROM scratch AS one\n", "linnet: building: DIR/Dockerfile has no stage \"two\"\nhint: it has one\n",
			[]string{"--target", "two"},
		},
		"a copy of nothing": {
			"FROM scratch\nCOPY gone /\n",
			"linnet: building: DIR/Dockerfile:2: \"gone\" is not there to be copied\nhint: check the path, from the top of the build context or of what --from names, and .dockerignore\n", nil,
		},
		"secret not supplied": {
			"FROM BASE\nRUN --mount=type=secret,id=it,required=true true\n",
			"linnet: building: DIR/Dockerfile:2: the step needs the secret it, which was not supplied\nhint: --secret id=it,src=FILE or --secret id=it,env=VARIABLE\n", nil,
		},
		"missing secret": {
			"FROM scratch\n", "linnet: the secret it: reading DIR/gone: no such file or directory\nhint: --secret id=it,src=FILE names the file, --secret id=it,env=VARIABLE a variable\n",
			[]string{"--secret", "id=it,src=DIR/gone"},
		},
		"unreachable registry": {
			"FROM localhost:1/some/image\n",
			"linnet: building: DIR/Dockerfile:1: resolving localhost:1/some/image:latest: failed to do request: Head \"http://localhost:1/v2/some/image/manifests/latest\": dial tcp 127.0.0.1:1: connect: connection refused\n" +
				"hint: check the name and the network: it cannot be reached from the engine\n", nil,
		},
		"an exporter's mistake": {
			"FROM scratch\n", "linnet: building: unsupported compression type bogus\n", []string{"--output", "type=image,compression=bogus"},
		},
		"nothing to allow": {
			"FROM scratch\n", "linnet: --allow \"all\": nothing of that name can be allowed\nhint: one of network.host, security.insecure, device\n", []string{"--allow", "all"},
		},
		"a frontend that is newer": {
			"# syntax=localhost:1/docker/dockerfile:1.999\nFROM scratch\n", "hint: up to docker/dockerfile:1.", nil,
		},
		"empty":           {"", "linnet: building: DIR/Dockerfile is empty\nhint: it begins with FROM IMAGE\n", nil},
		"not a platform":  {"FROM scratch\n", "linnet: --platform \"linux/x\": there is no such platform\nhint: OS/ARCH, such as linux/amd64 or linux/arm64\n", []string{"--platform", "linux/x"}},
		"context is file": {"FROM scratch\n", "linnet: reading the build context DIR/Dockerfile: it is a file, not a directory\nhint: name its directory; a Dockerfile is named by -f DIR/Dockerfile\n", []string{"FILE"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(strings.ReplaceAll(c.dockerfile, "BASE", base)), 0o644); err != nil {
				t.Fatal(err)
			}
			args := []string{"build", "--progress=quiet"}
			context := dir
			for _, a := range c.args {
				if a == "FILE" {
					context = filepath.Join(dir, "Dockerfile")
					continue
				}
				args = append(args, strings.ReplaceAll(a, "DIR", dir))
			}
			r := e.Run(t, append(args, context)...)
			if want := strings.ReplaceAll(c.want, "DIR", dir); r.Code != 1 || !strings.HasSuffix(r.Err, want) && !strings.Contains(r.Err, strings.TrimSuffix(want, "\n")) {
				t.Errorf("exit code %d\n%s\nwant\n%s", r.Code, r.Err, want)
			}
		})
	}
}

// A registry's word on who may read is passed on, with what to do.
func TestABuildWithoutCredentials(t *testing.T) {
	e := lab.New(t)
	address := passwordRegistry(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), fmt.Appendf(nil, "FROM %s/secret/image\n", address), 0o644); err != nil {
		t.Fatal(err)
	}
	r := e.Run(t, "build", "--progress=quiet", dir)
	if r.Code != 1 || !strings.Contains(r.Err, "hint: check the image's name; if the registry wants credentials: linnet login REGISTRY") {
		t.Errorf("exit code %d\n%s", r.Code, r.Err)
	}
	if r := e.RunIn(t, strings.NewReader("s3cret"), "login", "-u", "robin", "--password-stdin", address); r.Code != 0 {
		t.Fatal(r.Err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nLABEL a=b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// With them it may write.
	e.Must(t, "build", "-q", "-t", address+"/secret/image", "--push", dir)
}

// A context is a directory, an archive or a Dockerfile on standard input, or an address; and
// `# syntax=docker/dockerfile:1` needs no registry, wherever the Dockerfile is.
func TestBuildContexts(t *testing.T) {
	e := lab.Shared(t)
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	if err := os.Mkdir(src, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Dockerfile": "# syntax=docker/dockerfile:1\nFROM scratch\nCOPY file /\n", "file": "text", "left": "out", ".dockerignore": "left\n",
	} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, argv := range [][]string{
		{"tar", "-C", src, "-czf", filepath.Join(dir, "context.tar.gz"), "Dockerfile", "file"},
		{"git", "-C", src, "init", "-q", "-b", "main"},
		{"git", "-C", src, "add", "."},
		{"git", "-C", src, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "first"},
		{"git", "clone", "-q", "--bare", src, filepath.Join(dir, "repo.git")},
		{"git", "-C", filepath.Join(dir, "repo.git"), "update-server-info"},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", argv, err, out)
		}
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	archive := read(t, filepath.Join(dir, "context.tar.gz"))
	for name, c := range map[string]struct {
		stdin string
		args  []string
	}{
		"directory":      {"", []string{src}},
		"archive":        {archive, []string{"-"}},
		"archive and -f": {archive, []string{"-f", "Dockerfile", "-"}},
		"http":           {"", []string{server.URL + "/context.tar.gz"}},
		"git":            {"", []string{server.URL + "/repo.git#main"}},
		"git and -f":     {"", []string{"-f", filepath.Join(src, "Dockerfile"), server.URL + "/repo.git"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := e.RunIn(t, strings.NewReader(c.stdin), append([]string{"build", "--progress=plain", "--output", filepath.Join(t.TempDir(), "out")}, c.args...)...)
			if r.Code != 0 {
				t.Fatalf("exit code %d\n%s", r.Code, r.Err)
			}
			r = e.RunIn(t, strings.NewReader(c.stdin), append([]string{"build", "--output", "type=tar,dest=-"}, c.args...)...)
			if r.Code != 0 || !strings.Contains(r.Out, "text") || strings.Contains(r.Out, "left") {
				t.Errorf("exit code %d\n%s\n%.200q", r.Code, r.Err, r.Out)
			}
			if r := e.RunIn(t, strings.NewReader(c.stdin), append([]string{"build", "--check"}, c.args...)...); r.Code != 0 {
				t.Errorf("--check: exit code %d\n%s%s", r.Code, r.Out, r.Err)
			}
		})
	}
	if r := e.RunIn(t, strings.NewReader("FROM scratch\nLABEL a=b\n"), "build", "-q", "-"); r.Code != 0 || !strings.HasPrefix(r.Out, "sha256:") {
		t.Errorf("a Dockerfile on standard input: %+v", r)
	}
}

// Where a registry gives tokens, a build gets one with the password that this machine knows; the
// engine sees the token alone.
func TestABuildGetsATokenHere(t *testing.T) {
	e := lab.New(t)
	var mu sync.Mutex
	var asked []string // who came for a token, by the program's name for itself
	store := registry.New()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			user, password, _ := r.BasicAuth()
			if r.Method == http.MethodPost {
				user, password = r.PostFormValue("username"), r.PostFormValue("password")
			}
			if user != "robin" || password != "s3cret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			mu.Lock()
			asked = append(asked, r.UserAgent())
			mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"token":"t0ken","access_token":"t0ken","expires_in":300}`)
			return
		}
		if r.Header.Get("Authorization") != "Bearer t0ken" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test",scope="repository:secret/image:pull,push"`, server.URL))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		store.ServeHTTP(w, r)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	if r := e.RunIn(t, strings.NewReader("s3cret"), "login", "-u", "robin", "--password-stdin", address); r.Code != 0 {
		t.Fatal(r.Err)
	}
	dir := t.TempDir()
	for _, dockerfile := range []string{"FROM scratch\nLABEL a=b\n", "FROM " + address + "/secret/image\nLABEL c=d\n"} {
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
			t.Fatal(err)
		}
		e.Must(t, "build", "-q", "--pull", "-t", address+"/secret/image", "--push", dir)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) < 2 {
		t.Errorf("only these asked for a token: %q", asked)
	}
	for _, who := range asked {
		if strings.Contains(who, "buildkit/") {
			t.Errorf("the engine asked for a token itself: %q", asked)
		}
	}
	if _, err := os.Stat(filepath.Join(e.Home, "build", ".token_seed")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(e.User, ".docker", ".token_seed")); err == nil {
		t.Error("something is kept in docker's directory")
	}
}

//go:build e2e && linux

package vm_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// TestSmoke walks the main job once, in one machine, from nothing on: what CI runs each time.
func TestSmoke(t *testing.T) {
	e := ownMachine(t)
	atHome(t, e)
	registry := lab.NewRegistry(t)
	registry.PushBusybox(t, "busybox")
	image := "host.docker.internal:" + registry.Port + "/busybox"
	e.Env = append(e.Env, "LINNET_ENGINE_REGISTRIES_INSECURE=host.docker.internal:"+registry.Port)

	for _, step := range []struct {
		name string
		run  func(t *testing.T, e *lab.Engine, image string)
	}{
		{"FromNothing", fromNothing},
		{"ExitCodes", exitCodes},
		{"BindMount", bindMount},
		{"HiddenBindMount", hiddenBindMount},
		{"HomeIsKept", homeIsKept},
		{"HostKeyIsKnown", hostKeyIsKnown},
		{"PublishedPort", publishedPort},
		{"HostFromContainer", hostFromContainer},
		{"PrivateRegistry", privateRegistry},
		{"Build", buildWithSecretAndCache},
		{"ForeignArchitecture", foreignArchitecture},
		{"Compose", compose},
		{"Panics", func(t *testing.T, e *lab.Engine, image string) { panicAfterBuilds(t, e, image, panics(t, 3)) }},
		{"Survives", survives},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, e, image) }) && step.name == "FromNothing" {
			t.FailNow()
		}
	}
}

// fromNothing: no machine, no disk, no image in it; one command provisions, starts, pulls and
// answers, and says what it does.
func fromNothing(t *testing.T, e *lab.Engine, image string) {
	r := e.Run(t, "run", "--rm", image, "echo", "hello from inside")
	if r.Code != 0 || r.Out != "hello from inside\n" {
		t.Fatalf("exit code %d, stdout %q, stderr:\n%s", r.Code, r.Out, r.Err)
	}
	for _, step := range []string{"creating the data disk", "creating the virtual machine", "starting the virtual machine"} {
		if !strings.Contains(r.Err, step) {
			t.Errorf("the step %q was not told:\n%s", step, r.Err)
		}
	}
	t.Logf("stderr:\n%s", r.Err)
	if again := e.Run(t, "ps"); again.Code != 0 || again.Err != "" {
		t.Errorf("the second command: exit code %d, stderr %q", again.Code, again.Err)
	}
}

func exitCodes(t *testing.T, e *lab.Engine, image string) {
	for _, code := range []int{0, 42} {
		r := e.Run(t, "run", "--rm", "--network=none", image, "sh", "-c", fmt.Sprintf("echo out; echo err >&2; exit %d", code))
		if r.Code != code || r.Out != "out\n" || !strings.Contains(r.Err, "err\n") {
			t.Errorf("exit %d: got %d, stdout %q, stderr %q", code, r.Code, r.Out, r.Err)
		}
	}
}

// privateRegistry: the guest asks this host for the password of a registry that a command names.
func privateRegistry(t *testing.T, e *lab.Engine, _ string) {
	port := passwordRegistry(t, "of the nest")
	login(t, e, port, "of the nest")
	must(t, e, "pull", "--insecure-registry", "-q", "host.docker.internal:"+port+"/private")
}

// bindMount: a directory of the home directory is read and written from both sides, and what
// the container's root makes belongs to the user here.
func bindMount(t *testing.T, e *lab.Engine, image string) {
	dir := share(t, e)
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := must(t, e, "run", "--rm", "--network=none", "-v", dir+":/mnt", image, "sh", "-c", "cat /mnt/mine; echo answered >>/mnt/mine; echo made >/mnt/theirs")
	if out != "from the host" {
		t.Errorf("in the container: %q", out)
	}
	for name, want := range map[string]string{"mine": "from the host\nanswered\n", "theirs": "made\n"} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v", name, text, err)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Getuid() {
			t.Errorf("%s belongs to %d, not to %d", name, st.Uid, os.Getuid())
		}
	}
}

// hiddenBindMount: what the machine does not share is refused, with the key to set, and never
// silently replaced by an empty directory.
func hiddenBindMount(t *testing.T, e *lab.Engine, image string) {
	hidden := t.TempDir()
	r := e.Run(t, "run", "--rm", "-v", hidden+":/mnt", image, "true")
	want := fmt.Sprintf("linnet: %s is not visible to the engine: it is in no directory that the virtual machine shares\nhint: add %s to vm.mounts in %s, then: linnet vm restart\n",
		hidden, hidden, filepath.Join(e.Home, "linnet.yaml"))
	if r.Code != 1 || r.Out != "" || r.Err != want {
		t.Errorf("exit code %d, stdout %q, stderr %q, want %q", r.Code, r.Out, r.Err, want)
	}
}

// freePort is one that no process listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func fetch(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// publishedPort: it answers on the host as soon as run -d returns, at the address that was
// asked for; a taken one is refused; a removed container's is free again.
func publishedPort(t *testing.T, e *lab.Engine, image string) {
	port := freePort(t)
	must(t, e, "run", "-d", "--name=web", "-p", "127.0.0.1:"+port+":80", image, "sh", "-c", "mkdir /www && echo page >/www/index.html && httpd -f -h /www")
	defer e.Run(t, "rm", "-f", "web")
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatalf("when run -d returned: %v", err)
	}
	conn.Close()
	lab.Eventually(t, "the page", func() bool {
		text, err := fetch("http://127.0.0.1:" + port + "/")
		return err == nil && text == "page\n"
	})
	taken := e.Run(t, "run", "-d", "--name=second", "-p", port+":80", image, "httpd", "-f")
	if taken.Code == 0 || !strings.Contains(taken.Err, "address already in use") && !strings.Contains(taken.Err, "already allocated") {
		t.Errorf("a taken port: exit code %d, stderr %q", taken.Code, taken.Err)
	}
	e.Run(t, "rm", "-f", "second")
	must(t, e, "rm", "-f", "web")
	lab.Eventually(t, "the port to be free", func() bool {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			l.Close()
		}
		return err == nil
	})
}

// hostFromContainer: host.docker.internal is this host.
func hostFromContainer(t *testing.T, e *lab.Engine, image string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the host answers") }))
	defer server.Close()
	url := "http://host.docker.internal" + server.URL[strings.LastIndexByte(server.URL, ':'):] + "/"
	if out := must(t, e, "run", "--rm", image, "wget", "-q", "-O", "-", url); out != "the host answers" {
		t.Errorf("%s: %q", url, out)
	}
}

// buildWithSecretAndCache: a secret mount reads the host's file, a cache mount lasts from
// one build to the next.
func buildWithSecretAndCache(t *testing.T, e *lab.Engine, image string) {
	dir := share(t, e)
	secret := filepath.Join(e.User, "token")
	dockerfile := "FROM " + image + "\nARG ROUND\n" +
		"RUN --mount=type=secret,id=token --mount=type=cache,target=/cache sh -c 'sha256sum </run/secrets/token; echo round $ROUND >>/cache/rounds; cp /cache/rounds /rounds'\n"
	for path, text := range map[string]string{secret: "a secret of the host", filepath.Join(dir, "Dockerfile"): dockerfile} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, round := range []string{"1", "2"} {
		must(t, e, "build", "-q", "--secret", "id=token,src="+secret, "--build-arg", "ROUND="+round, "-t", "built", dir)
	}
	if out := must(t, e, "run", "--rm", "--network=none", "built", "cat", "/rounds"); out != "round 1\nround 2" {
		t.Errorf("the cache mount held %q", out)
	}
}

// setuidDockerfile is about a program that belongs to user 7 and is run by another.
const setuidDockerfile = `FROM scratch
COPY --chown=7:7 --chmod=4755 hello /hello
USER 1000
RUN ["/hello"]
CMD ["/hello"]
`

// other is the architecture that the machine emulates, and what QEMU calls it.
func other() (arch, machine string) {
	if lab.Arch() == "arm64" {
		return "amd64", "x86_64"
	}
	return "arm64", "aarch64"
}

// foreignArchitecture: a program of another processor runs, in a build and in a container, as a setuid one.
func foreignArchitecture(t *testing.T, e *lab.Engine, _ string) {
	dir := share(t, e)
	arch, machine := other()
	source := "package main\n\nimport (\"os\"; \"runtime\")\n\nfunc main() { println(runtime.GOARCH, os.Geteuid()) }\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("/usr/local/go/bin/go", "build", "-o", filepath.Join(dir, "hello"), filepath.Join(dir, "main.go"))
	build.Env = append(os.Environ(), "GOARCH="+arch, "GOOS=linux", "CGO_ENABLED=0", "GOTOOLCHAIN=local")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building for %s: %v\n%s", arch, err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(setuidDockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	note := "emulating linux/" + arch + " on " + lab.Arch() + " with qemu-" + machine + "\n"
	for _, args := range [][]string{
		{"build", "--progress=plain", "--platform=linux/" + arch, "-t", "foreign", dir},
		{"run", "--rm", "--network=none", "--platform=linux/" + arch, "foreign"},
	} {
		r := e.Run(t, args...)
		if r.Code != 0 || !strings.Contains(r.Err, arch+" 7\n") || strings.Count(r.Err, note) != 1 {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", args[0], r.Code, r.Out, r.Err)
		}
	}
	if out := must(t, e, "emulation", "status"); !strings.Contains(out, arch+"\temulated\t/usr/libexec/linnet/emulators/qemu-"+machine+"\tyes\t\n") {
		t.Errorf("emulation status says\n%s", out)
	}
}

const composeFile = `services:
  web:
    image: %s
    command: ["sh", "-c", "mkdir -p /www && echo $${GREETING} >/www/index.html && httpd -f -h /www"]
    environment:
      GREETING: # from the environment of the user who runs up
    ports: ["127.0.0.1:%s:80"]
    volumes: ["data:/data", "./conf:/conf:ro"]
volumes:
  data:
`

// compose: a project with a volume, a bind mount, a variable of the host and a port comes up,
// answers and goes down.
func compose(t *testing.T, e *lab.Engine, image string) {
	dir, port := share(t, e), freePort(t)
	if err := os.Mkdir(filepath.Join(dir, "conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), fmt.Appendf(nil, composeFile, image, port), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) lab.Result {
		cmd := e.Command(t.Context(), append([]string{"compose"}, args...)...)
		cmd.Dir, cmd.Env = dir, append(cmd.Env, "GREETING=hello")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run() // the exit code says it
		return lab.Result{Out: out.String(), Err: errs.String(), Code: cmd.ProcessState.ExitCode()}
	}
	if r := run("up", "-d"); r.Code != 0 {
		t.Fatalf("compose up: exit code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	lab.Eventually(t, "the project's page", func() bool {
		text, err := fetch("http://127.0.0.1:" + port + "/")
		return err == nil && text == "hello\n"
	})
	if r := run("down", "-v"); r.Code != 0 {
		t.Errorf("compose down: exit code %d\n%s%s", r.Code, r.Out, r.Err)
	}
}

// survives: volumes, networks, images and containers outlive a stop, after which the machine shares chosen
// directories alone, and the removal of the machine.
func survives(t *testing.T, e *lab.Engine, image string) {
	must(t, e, "volume", "create", "kept")
	must(t, e, "network", "create", "keptnet")
	must(t, e, "run", "--rm", "--network=none", "-v", "kept:/data", image, "sh", "-c", "echo kept >/data/file && sync")
	check := func(after string) {
		t.Helper()
		if out := must(t, e, "run", "--rm", "--network=keptnet", "-v", "kept:/data", image, "cat", "/data/file"); out != "kept" {
			t.Errorf("after %s the volume holds %q", after, out)
		}
	}
	must(t, e, "vm", "stop")
	if out := must(t, e, "vm", "status"); !strings.Contains(out, "stopped") {
		t.Errorf("after stop the status is %q", out)
	}
	chosen := chooseDirectories(t, e)
	must(t, e, "vm", "start")
	check("a stop")
	chosenAlone(t, e, image, chosen)
	must(t, e, "vm", "rm")
	must(t, e, "vm", "init")
	check("rm and init")
}

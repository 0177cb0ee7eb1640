//go:build e2e && linux

package vm_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// dockerName is Docker's command line in the directory of the suite.
const dockerName = "docker-cli"

// dockerCLI builds it there: the user of the suite has no compiler.
func dockerCLI(root string) error {
	if err := lab.MakePeers("docker"); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(lab.SourceRoot(), "_output", "peers", "bin", "docker"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, dockerName), text, 0o755)
}

// docker is Docker's own command line on this host, with the socket of a machine.
type docker struct{ e *lab.Engine }

func (d docker) socket() string { return filepath.Join(d.e.Home, "docker.sock") }

func (d docker) config() string { return filepath.Join(d.e.User, "docker-config") }

func (d docker) environ() []string {
	return append(os.Environ(), "HOME="+d.e.User, "DOCKER_CONFIG="+d.config(), "DOCKER_HOST=unix://"+d.socket(),
		"TESTCONTAINERS_HOST_OVERRIDE=localhost") // where this suite runs in a container itself, the library looks for ports at a gateway
}

func (d docker) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(lab.Root(), dockerName), args...)
	cmd.Env = d.environ()
	cmd.Dir = d.e.User
	return cmd
}

func (d docker) run(t *testing.T, args ...string) lab.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := d.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("docker %q does not end:\n%s%s", args, &out, &errs)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return lab.Result{Code: cmd.ProcessState.ExitCode(), Out: out.String(), Err: errs.String()}
}

func (d docker) must(t *testing.T, args ...string) string {
	t.Helper()
	r := d.run(t, args...)
	if r.Code != 0 {
		t.Fatalf("docker %q: exit code %d\n%s%s", args, r.Code, r.Out, r.Err)
	}
	return strings.TrimSpace(r.Out)
}

// TestDocker has Docker's command line on this host use the engine in the machine.
func TestDocker(t *testing.T) {
	e := ownMachine(t)
	atHome(t, e)
	registry := lab.NewRegistry(t)
	registry.PushBusybox(t, "busybox")
	from := "host.docker.internal:" + registry.Port + "/busybox"
	e.Env = append(e.Env, "LINNET_ENGINE_REGISTRIES_INSECURE=host.docker.internal:"+registry.Port)
	d := docker{e}
	d.plugins(t)
	if _, err := os.Lstat(d.socket()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a machine there is %s: %v", d.socket(), err)
	}
	must(t, e, "pull", "-q", from)
	must(t, e, "tag", from, "bb")
	for _, step := range []struct {
		name string
		run  func(t *testing.T, d docker)
	}{
		{"Run", dockerRuns},
		{"Terminal", dockerTerminal},
		{"Build", dockerBuilds},
		{"PublishedPort", dockerPublishes},
		{"Socket", dockerInContainers},
		{"Paths", dockerPaths},
		{"Clients", dockerClientsWork},
		{"StopAndStart", dockerSurvives},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, d) }) && step.name == "Run" {
			t.FailNow()
		}
	}
}

// dockerRuns: exit codes, both outputs, standard input to its end, exec, what the home directory has, and the host by its name.
func dockerRuns(t *testing.T, d docker) {
	if st, err := os.Stat(d.socket()); err != nil || st.Mode() != fs.ModeSocket|0o600 {
		t.Fatalf("%s: %v, %v", d.socket(), st, err)
	}
	r := d.run(t, "run", "--rm", "bb", "sh", "-c", "echo out; echo err >&2; exit 42")
	if r.Code != 42 || r.Out != "out\n" || r.Err != "err\n" {
		t.Fatalf("exit code %d, stdout %q, stderr %q", r.Code, r.Out, r.Err)
	}
	sent := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	cmd := d.command(t.Context(), "run", "--rm", "-i", "bb", "cat")
	cmd.Stdin = bytes.NewReader(sent)
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("of %d bytes %d came back: %v", len(sent), len(got), err)
	}
	dir := share(t, d.e)
	d.must(t, "run", "-d", "--name=lasting", "-v", dir+":/mnt", "bb", "sleep", "1000")
	d.must(t, "exec", "lasting", "sh", "-c", "echo made >/mnt/made")
	if text, err := os.ReadFile(filepath.Join(dir, "made")); err != nil || string(text) != "made\n" {
		t.Errorf("what a container made: %q, %v", text, err)
	}
	if r := d.run(t, "exec", "lasting", "sh", "-c", "exit 7"); r.Code != 7 {
		t.Errorf("exec: exit code %d, %s", r.Code, r.Err)
	}
	d.must(t, "rm", "-f", "lasting")
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, "the host answers")
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(server.Addr().String())
	if out := d.must(t, "run", "--rm", "bb", "nc", "host.docker.internal", port); out != "the host answers" {
		t.Errorf("host.docker.internal: %q", out)
	}
	if out := d.must(t, "run", "--rm", "--add-host=here:host-gateway", "bb", "nc", "here", port); out != "the host answers" {
		t.Errorf("host-gateway: %q", out)
	}
}

// dockerTerminal: -it has a terminal of the size of the one here.
func dockerTerminal(t *testing.T, d docker) {
	cmd := d.command(t.Context(), "run", "--rm", "-it", "bb", "sh", "-c", "read line; echo got $line; stty size")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 111})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if _, err := terminal.WriteString("typed\n"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, _ = out.ReadFrom(terminal) // ends with an error when the last process has
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "got typed") || !strings.Contains(out.String(), "33 111") {
		t.Errorf("%v: %q", err, out.String())
	}
}

// dockerBuilds: what docker builds, linnet has.
func dockerBuilds(t *testing.T, d docker) {
	dir := share(t, d.e)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM bb\nCOPY file /file\nRUN cat /file >/built\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.must(t, "build", "-q", "-t", "built", dir)
	if out := d.must(t, "run", "--rm", "built", "cat", "/built"); out != "from the host" {
		t.Errorf("the image has %q", out)
	}
	lab.Eventually(t, "linnet to have the image", func() bool {
		return d.e.Run(t, "run", "--rm", "--network=none", "built", "cat", "/built").Out == "from the host\n"
	})
}

// dockerPublishes: a port answers here when run -d returns; one that is taken is refused in linnet's words, and one that is out of bounds;
// their containers can be removed; a removed container's port is free.
func dockerPublishes(t *testing.T, d docker) {
	port := freePort(t)
	d.must(t, "run", "-d", "--name=web", "-p", port+":80", "bb", "sh", "-c", "mkdir /www && echo page >/www/index.html && httpd -f -h /www")
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatalf("when run -d returned: %v", err)
	}
	conn.Close()
	lab.Eventually(t, "the page", func() bool {
		text, err := fetch("http://127.0.0.1:" + port + "/")
		return err == nil && text == "page\n"
	})
	if status := must(t, d.e, "vm", "status"); strings.Count(status, ":"+port+"/tcp") != 1 {
		t.Errorf("the port of both address families is not one:\n%s", status)
	}
	taken, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, other, _ := net.SplitHostPort(taken.Addr().String())
	for ask, want := range map[string]string{
		other + ":80": "bind for 0.0.0.0:" + other + " failed: port is already allocated",
		"80:80":       "publishing port 80: the virtual machine may publish ports from 1024 on (vm.ports.lowest in linnet.yaml)",
	} {
		r := d.run(t, "run", "-d", "--name=refused", "-p", ask, "bb", "sleep", "1000")
		if r.Code == 0 || !strings.Contains(r.Err, want) {
			t.Errorf("-p %s: exit code %d, %q, want %q", ask, r.Code, r.Err, want)
		}
		d.must(t, "rm", "-f", "refused")
	}
	must(t, d.e, "vm", "shell", "sudo", "pkill", "-KILL", "-x", "docker-proxy")
	lab.Eventually(t, "the port to go with its processes", func() bool { return isFree(port) })
	d.must(t, "rm", "-f", "web")
	d.must(t, "run", "-d", "--name=web", "-p", port+":80", "bb", "httpd", "-f")
	d.must(t, "rm", "-f", "web")
	d.must(t, "run", "-d", "--name=web", "-p", port+":80", "bb", "httpd", "-f") // at once
	d.must(t, "rm", "-f", "web")
	lab.Eventually(t, "the port to be free", func() bool { return isFree(port) })
}

func isFree(port string) bool {
	l, err := net.Listen("tcp4", "0.0.0.0:"+port)
	if err == nil {
		l.Close()
	}
	return err == nil
}

// dockerInContainers: a container that has the socket, by any of its names, speaks with the engine that runs it.
func dockerInContainers(t *testing.T, d docker) {
	dir := share(t, d.e)
	text, err := os.ReadFile(filepath.Join(lab.Root(), dockerName))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "docker"), text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{d.socket(), "/var/run/docker.sock"} {
		out := d.must(t, "run", "--rm", "--name=asking", "-v", dir+":/it", "-v", name+":/var/run/docker.sock", "bb", "/it/docker", "ps", "--format", "{{.Names}}")
		if out != "asking" {
			t.Errorf("%s: %q", name, out)
		}
	}
	// As a library for tests does from within: the path means the same there.
	inner := d.must(t, "run", "--rm", "-v", dir+":/it", "-v", "/var/run/docker.sock:/var/run/docker.sock", "bb",
		"/it/docker", "run", "--rm", "-v", dir+":/mnt", "bb", "ls", "/mnt")
	if inner != "docker" {
		t.Errorf("a container's container sees %q", inner)
	}
	if out := must(t, d.e, "vm", "shell", "readlink", "-f", d.socket(), "/var/run/docker.sock"); out != "/var/lib/linnet/docker.sock\n/var/lib/linnet/docker.sock" {
		t.Errorf("in the machine the socket is at %q", out)
	}
	if out := must(t, d.e, "run", "--rm", "--network=none", "-v", d.socket()+":/docker.sock", "bb", "sh", "-c", "test -S /docker.sock && echo there"); out != "there" {
		t.Errorf("linnet run with the socket: %q", out)
	}
}

// dockerPaths: what the machine does not share is refused by name and not replaced by an empty directory.
func dockerPaths(t *testing.T, d docker) {
	hidden := t.TempDir()
	for path, want := range map[string]string{
		hidden:                              " is not visible to the engine: it is in no directory that the virtual machine shares",
		filepath.Join(d.e.Home, "vm"):       " is not visible to the engine: it belongs to linnet itself",
		filepath.Join(hidden, "not", "yet"): "add " + filepath.Join(hidden, "not", "yet") + " to vm.mounts in " + filepath.Join(d.e.Home, "linnet.yaml"),
	} {
		r := d.run(t, "run", "--rm", "-v", path+":/mnt", "bb", "true")
		if r.Code != 125 || !strings.Contains(r.Err, path) || !strings.Contains(r.Err, want) {
			t.Errorf("%s: exit code %d, %q, want %q", path, r.Code, r.Err, want)
		}
	}
	for _, path := range []string{"/sys", "/lib/modules", "/etc/localtime", "/dev"} {
		if r := d.run(t, "run", "--rm", "-v", path+":/mnt:ro", "bb", "test", "-e", "/mnt"); r.Code != 0 {
			t.Errorf("%s: %s", path, r.Err)
		}
	}
}

// dockerSurvives: the socket goes with the machine and comes with it, with what dockerd keeps.
func dockerSurvives(t *testing.T, d docker) {
	port := freePort(t)
	d.must(t, "run", "-d", "--name=always", "--restart=always", "-p", port+":80", "bb", "sh", "-c", "mkdir -p /www && echo page >/www/index.html && httpd -f -h /www")
	must(t, d.e, "vm", "stop")
	if _, err := os.Lstat(d.socket()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after stop there is %s: %v", d.socket(), err)
	}
	must(t, d.e, "vm", "start")
	if out := d.must(t, "ps", "--format", "{{.Names}}"); cmp.Or(out, "none") != "always" {
		t.Errorf("after start: %q", out)
	}
	lab.Eventually(t, "the page after a start", func() bool {
		text, err := fetch("http://127.0.0.1:" + port + "/")
		return err == nil && text == "page\n"
	})
	d.must(t, "rm", "-f", "always")
}

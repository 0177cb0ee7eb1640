//go:build e2e && linux

package native_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// outcome is what a signal leads to, as far as a user can tell.
type outcome struct {
	// Code is the exit code, or 128+N when the client itself was killed by signal N.
	Code int
	// Container is the state of the container afterwards; empty when there is none.
	Container string
	// Terminal says that the terminal is as it was before.
	Terminal bool
	// Orphans are processes that the client left behind.
	Orphans int
}

// client is linnet, or nerdctl alone on the same engine: the measure.
type client struct {
	name    string
	command func(ctx context.Context, args ...string) *exec.Cmd
}

func clients(e *lab.Engine) []client {
	return []client{
		{"nerdctl", e.Nerdctl},
		{"linnet", e.Command},
	}
}

// interruption is one command that is interrupted.
type interruption struct {
	name string
	// args is the command line; NAME stands for a container name of its own.
	args string
	tty  bool
	// target says that a container NAME runs before the command does.
	target bool
	// begun is what the command writes once it is under way; empty asks the registry.
	begun string
	// carries says that the client carries signals to the container.
	carries bool
}

// loop ends with a code of its own for each signal, and answers SIGWINCH: a client that
// carries that one over carries them all.
const loop = `trap "exit 3" TERM; trap "exit 4" INT; trap "exit 5" HUP; trap "echo probed" WINCH; echo begun; while :; do sleep 0.05; done`

var interruptions = []interruption{
	{carries: true, name: "run", args: "run --rm --name NAME --network=none IMAGE sh -c LOOP", begun: "begun"},
	{carries: true, name: "run -i", args: "run --rm -i --name NAME --network=none IMAGE sh -c LOOP", begun: "begun"},
	{carries: true, name: "run -it", args: "run --rm -it --name NAME --network=none IMAGE sh -c LOOP", tty: true, begun: "begun"},
	{name: "logs -f", args: "logs -f NAME", target: true, begun: "begun"},
	{name: "exec", args: "exec NAME sh -c LOOP", target: true, begun: "begun"},
	{name: "exec -it", args: "exec -it NAME sh -c LOOP", target: true, tty: true, begun: "begun", carries: true},
	{carries: true, name: "attached start", args: "start -a NAME-idle", target: true, begun: "begun"},
	{name: "wait", args: "wait NAME", target: true},
	{name: "events", args: "events", target: true},
	{name: "pull", args: "pull -q --insecure-registry REGISTRY/slow:1"},
	{name: "run -d of an image that is pulled", args: "run -d -q --name NAME --insecure-registry --pull always REGISTRY/slow:1"},
}

// Ctrl-C, SIGTERM and SIGHUP do to linnet what they do to nerdctl alone: the same exit code,
// the same container afterwards, no process left behind, the terminal as it was.
func TestSignalsAsWithNerdctlAlone(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	image := e.Busybox(t)
	registry := newSlowRegistry(t)
	for _, c := range interruptions {
		for _, how := range []string{"ctrl-c", "SIGTERM", "SIGHUP"} {
			if how == "ctrl-c" && !c.tty {
				how = "SIGINT"
			}
			t.Run(c.name+" "+how, func(t *testing.T) {
				var got []outcome
				for i, client := range clients(e) {
					name := fmt.Sprintf("sig-%d-%s", i, strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(c.name+how)))
					got = append(got, interrupt(t, e, client, c, name, image, registry, how))
				}
				// nerdctl that is killed leaves the terminal raw; with linnet it is put right.
				got[0].Terminal = true
				if got[0] != got[1] {
					t.Errorf("nerdctl alone: %+v, linnet: %+v", got[0], got[1])
				}
				if !got[1].Terminal || got[1].Orphans > 0 {
					t.Errorf("linnet: %+v", got[1])
				}
			})
		}
	}
}

// interrupt runs one command, interrupts it when it is under way, and sees what remains.
func interrupt(t *testing.T, e *lab.Engine, cl client, c interruption, name, image string, registry *slowRegistry, how string) outcome {
	t.Helper()
	t.Cleanup(func() { e.Run(t, "rm", "-f", name, name+"-idle") })
	if c.target {
		e.Must(t, "run", "-d", "--name", name, "--network=none", image, "sh", "-c", loop)
		lab.Eventually(t, "the target's first words", func() bool { return strings.Contains(e.Run(t, "logs", name).Out, "begun") })
		if strings.Contains(c.args, "-idle") {
			e.Must(t, "create", "--name", name+"-idle", "--network=none", image, "sh", "-c", loop)
		}
	}
	words := strings.Fields(c.args)
	for i, w := range words {
		words[i] = strings.NewReplacer("NAME", name, "IMAGE", image, "LOOP", loop, "REGISTRY", registry.address).Replace(w)
	}
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := cl.command(ctx, words...)
	p := startWatched(t, cmd, c.tty)
	asked := registry.mark()
	switch {
	case c.begun != "":
		lab.Eventually(t, c.name+" to be under way", func() bool { return strings.Contains(p.text(), c.begun) || p.ended() })
		if c.carries {
			lab.Eventually(t, c.name+" to carry signals", func() bool {
				p.probe(t)
				return strings.Contains(p.text(), "probed") || p.ended()
			})
		}
	case strings.Contains(c.args, "REGISTRY"):
		lab.Eventually(t, "the registry to be asked", func() bool { return registry.stalled() > asked || p.ended() })
	default:
		lab.Eventually(t, "the client to wait", func() bool { return sleepsOnEngine(cmd.Process.Pid) || p.ended() })
	}
	if p.ended() {
		t.Fatalf("%s: %s ended by itself: %s", cl.name, c.name, p.text())
	}
	switch how {
	case "ctrl-c":
		if _, err := p.terminal.Write([]byte{3}); err != nil {
			t.Fatal(err)
		}
	default:
		if err := cmd.Process.Signal(map[string]os.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM, "SIGHUP": syscall.SIGHUP}[how]); err != nil {
			t.Fatal(err)
		}
	}
	o := outcome{Code: p.wait(t), Terminal: p.unchanged(t)}
	watched := name
	if strings.Contains(c.args, "-idle") {
		watched += "-idle"
	}
	o.Container = settled(t, e, watched)
	o.Orphans = len(childrenWith(name, registry.address))
	return o
}

// settled is a container's state once it no longer changes: running, or at an end.
func settled(t *testing.T, e *lab.Engine, name string) (state string) {
	t.Helper()
	lab.Eventually(t, "the state of "+name+" to settle", func() bool {
		last := state
		state = strings.TrimSpace(e.Run(t, "ps", "-a", "--filter", "name=^"+name+"$", "--format", "{{.Status}}").Out)
		state, _, _ = strings.Cut(state, " ago")
		if i := strings.LastIndex(state, ")"); i >= 0 {
			state = state[:i+1] // "Exited (3) Less than a second": the time is not the state
		}
		return state == last
	})
	return state
}

// sleepsOnEngine reports whether a client has begun to wait: it holds a connection of its own.
func sleepsOnEngine(pid int) bool {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, "socket:") {
			return true
		}
	}
	return false
}

// childrenWith lists processes of clients (not of the engine) that still name the container
// or the registry on their command line.
func childrenWith(words ...string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		line := string(text)
		if !strings.Contains(line, "/nerdctl\x00") && !strings.Contains(line, "/linnet\x00") || strings.Contains(line, "INTERNAL_LOGGING") {
			continue
		}
		for _, w := range words {
			if strings.Contains(line, w) {
				pids = append(pids, f)
			}
		}
	}
	return pids
}

// watched is a client under way, on a terminal of its own or on pipes.
type watched struct {
	cmd      *exec.Cmd
	terminal *os.File // the master's side, nil on pipes
	slave    *os.File
	before   *unix.Termios
	done     chan struct{}
	rows     uint16

	mu  sync.Mutex
	out strings.Builder
}

func startWatched(t *testing.T, cmd *exec.Cmd, tty bool) *watched {
	t.Helper()
	w := &watched{cmd: cmd, done: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if tty {
		master, slave, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { master.Close(); slave.Close() })
		w.terminal, w.slave = master, slave
		w.before = termios(t, slave)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, 0
		go w.copy(master)
	} else {
		stdin, keep, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stdin.Close(); keep.Close() })
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, w, w
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // its exit status is in ProcessState
		close(w.done)
	}()
	return w
}

// probe makes the container see SIGWINCH: by a new size of the terminal, or by the signal.
func (w *watched) probe(t *testing.T) {
	t.Helper()
	if w.terminal == nil {
		_ = w.cmd.Process.Signal(syscall.SIGWINCH) // ended meanwhile
		return
	}
	w.rows++
	if err := pty.Setsize(w.terminal, &pty.Winsize{Rows: 10 + w.rows%50, Cols: 80}); err != nil {
		t.Fatal(err)
	}
}

func (w *watched) copy(r io.Reader) { _, _ = io.Copy(w, r) }

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

func (w *watched) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func (w *watched) wait(t *testing.T) int {
	t.Helper()
	lab.Eventually(t, "the client to end", w.ended)
	status := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func (w *watched) unchanged(t *testing.T) bool {
	t.Helper()
	return w.slave == nil || *termios(t, w.slave) == *w.before
}

func termios(t *testing.T, f *os.File) *unix.Termios {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// slowRegistry knows one image, whose layer never comes.
type slowRegistry struct {
	address string
	mu      sync.Mutex
	stalls  int
}

func newSlowRegistry(t *testing.T) *slowRegistry {
	t.Helper()
	r := &slowRegistry{}
	config := `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:` + strings.Repeat("a", 64) + `"]}}`
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":1000000}]}`, digest(config), len(config), strings.Repeat("b", 64))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case strings.Contains(req.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Docker-Content-Digest", digest(manifest))
			_, _ = io.WriteString(w, manifest)
		case strings.HasSuffix(req.URL.Path, digest(config)):
			_, _ = io.WriteString(w, config)
		case strings.Contains(req.URL.Path, "/blobs/"):
			r.mu.Lock()
			r.stalls++
			r.mu.Unlock()
			<-req.Context().Done()
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	r.address = strings.TrimPrefix(server.URL, "http://")
	return r
}

func (r *slowRegistry) stalled() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stalls
}

func (r *slowRegistry) mark() int { return r.stalled() }

//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// crossing is an agent for clients that are elsewhere, run on this host.
type crossing struct {
	*lab.Engine
	program, socket string
	agent           *exec.Cmd
}

// newCrossing starts a copy of the agent, as a service manager would, and returns once it
// has said that it is ready.
func newCrossing(t *testing.T) *crossing { return newCrossingIn(t, "") }

// newCrossingIn does so in a network namespace: the ports of this host are then not those of
// its containers, as with a virtual machine.
func newCrossingIn(t *testing.T, netns string) *crossing {
	t.Helper()
	e := lab.New(t)
	e.Netns = netns
	dir := filepath.Dir(e.Home)
	c := &crossing{Engine: e, program: filepath.Join(dir, "bin", "linnet-agent"), socket: filepath.Join(dir, "run", "agent.sock")}
	placeFile(t, filepath.Join(lab.Root(), "bin", "linnet-agent"), c.program)
	spec := agent.Spec{
		Layout:      host.Layout{Home: e.Home, Libexec: c.components(t)},
		Snapshotter: "overlayfs", Subnet: "10.97.0.0/16", StopTimeout: 5 * time.Second,
		LogSize: 10 << 20, LogFiles: 2, LogLevel: "info", CacheBytes: 1 << 30, CacheAge: time.Hour,
	}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "engine.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	c.start(t)
	return c
}

// components are the built ones, and the agent's program under its other names, as in the
// image of a virtual machine.
func (c *crossing) components(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(c.Home), "libexec")
	for _, sub := range []string{"bin", "cni"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(lab.Root(), "libexec", "linnet", sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.Symlink(file, filepath.Join(dir, sub, filepath.Base(file))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"bin/docker-credential-linnet", "cni/linnet-ports"} {
		if err := os.Symlink(c.program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (c *crossing) start(t *testing.T) {
	t.Helper()
	dir := filepath.Dir(c.Home)
	notify := filepath.Join(dir, "notify")
	_ = os.Remove(notify)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	c.agent = lab.InNetns(context.WithoutCancel(t.Context()), c.Netns, c.program, "guest", "--spec", filepath.Join(dir, "engine.json"), "--socket", c.socket, "--owner", "0:0")
	var said bytes.Buffer
	c.agent.Env, c.agent.Stderr = append(os.Environ(), "NOTIFY_SOCKET="+notify), &said
	if err := c.agent.Start(); err != nil {
		t.Fatal(err)
	}
	process := c.agent
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
		if t.Failed() {
			t.Logf("the agent said:\n%s", &said)
		}
	})
	_ = manager.SetReadDeadline(time.Now().Add(lab.Timeout))
	b := make([]byte, 100)
	if n, err := manager.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Fatalf("the agent says %q, %v: %s", b[:n], err, &said)
	}
}

func placeFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *crossing) client(t *testing.T) *agent.Client {
	t.Helper()
	client, err := agent.Dial(t.Context(), c.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// crossed is the guest at the other end of the socket; it sees the paths of this host.
type crossed struct {
	*agent.Client
	paths guest.Guest
}

func (g crossed) Ready(ctx context.Context) error {
	return g.Client.Ready(ctx, func(*agentpb.Event) {})
}

func (g crossed) Path(path string) (guest.Visible, error) { return g.paths.Path(path) }

func (crossed) Capabilities() guest.Capabilities { return guest.Capabilities{Machine: true} }

func (g crossed) Dial(ctx context.Context, s guest.Service) (net.Conn, error) {
	return g.Client.Dial(ctx, string(s))
}

func (c *crossing) guest(t *testing.T) crossed {
	return crossed{c.client(t), nativeOf(c.Home)}
}

// What crosses the agent's socket keeps the contract of a guest, with a shell and with
// containers.
func TestCrossing(t *testing.T) {
	t.Parallel()
	c := newCrossing(t)
	if err := c.guest(t).Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	image := c.Busybox(t)
	guesttest.Suite(t, guesttest.Target{
		New:    func(t *testing.T) guest.Guest { return c.guest(t) },
		Engine: true, Image: image,
		ShareDir: t.TempDir(),
	})
}

// A container whose client vanished is not left behind, and what outlives an agent is
// there for the next one: daemons and containers, not the commands of its clients.
func TestCrossingOutlives(t *testing.T) {
	t.Parallel()
	outer := t
	c := newCrossing(t)
	g := c.guest(t)
	if err := g.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	image := c.Busybox(t)
	nerdctl := func(args ...string) string {
		t.Helper()
		var out, errs strings.Builder
		err := g.Run(t.Context(), guest.Process{Argv: append([]string{"nerdctl"}, args...), Stdout: &out, Stderr: &errs})
		if err != nil {
			t.Fatalf("nerdctl %q: %v\n%s", args, err, &errs)
		}
		return out.String()
	}

	t.Run("ClientVanishes", func(t *testing.T) {
		vanishing, vanish := c.vanishing(t)
		p := guest.Process{
			Argv:     []string{"nerdctl", "run", "--rm", "--name", "stubborn", "--network", "none", image, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 600; done"},
			OnCancel: []string{"nerdctl", "rm", "-f", "stubborn"},
		}
		lost := make(chan error, 1)
		ready := make(chan struct{}, 1)
		p.Stdout = writer(func([]byte) { ready <- struct{}{} })
		go func() { lost <- vanishing.Run(t.Context(), p) }()
		select {
		case <-ready:
		case err := <-lost:
			t.Fatal(err)
		}
		vanish()
		if err := <-lost; !errors.Is(err, agent.ErrLost) {
			t.Errorf("the client is told %v", err)
		}
		lab.Eventually(t, "the container is removed", func() bool { return nerdctl("ps", "-aq") == "" })
	})

	t.Run("Replaced", func(t *testing.T) {
		nerdctl("run", "-d", "--name", "survivor", "--network", "none", image, "sleep", "600")
		before := info(t, g)
		next := filepath.Join(t.TempDir(), "next")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X github.com/linnet-dev/linnet/pkg/agent.Version=next", "-o", next, "./cmd/linnet-agent")
		build.Dir, build.Env = lab.Root(), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		begin := time.Now()
		c.replace(t, g, next)
		t.Logf("replacing the agent took %v", time.Since(begin))
		after := info(t, g)
		id, err := agent.ProgramID(next)
		if err != nil || after.GetVersion() != "next" || after.GetProgram() != id || before.GetProgram() == id || after.GetPid() != before.GetPid() {
			t.Errorf("the agent is now %v, was %v; the program is %s, %v", after, before, id, err)
		}
		adopted(t, g, before)
		if got := nerdctl("ps", "--format", "{{.Names}}"); got != "survivor\n" {
			t.Errorf("containers: %q", got)
		}
	})

	t.Run("Killed", func(t *testing.T) {
		before := info(t, g)
		pid := make(chan string, 1)
		lost := make(chan error, 1)
		go func() {
			lost <- g.Run(t.Context(), guest.Process{
				Argv:     []string{"sh", "-c", "echo $$; exec sleep 600"},
				OnCancel: []string{"nerdctl", "rm", "-f", "survivor"},
				Stdout:   writer(func(p []byte) { pid <- strings.TrimSpace(string(p)) }),
			})
		}()
		running := <-pid
		_ = c.agent.Process.Kill()
		_ = c.agent.Wait()
		if err := <-lost; !errors.Is(err, agent.ErrLost) {
			t.Errorf("the client is told %v", err)
		}
		c.start(outer)
		adopted(t, g, before)
		// What the killed agent was to end, the next one ends, and cleans up after.
		lab.Eventually(t, "the command has ended", func() bool { return textOf("/proc/"+running+"/cmdline") == "" })
		lab.Eventually(t, "it is cleaned up after", func() bool { return nerdctl("ps", "-aq") == "" })
	})

	t.Run("PowerOff", func(t *testing.T) {
		share := t.TempDir()
		nerdctl("run", "-d", "--network", "none", "-v", share+":/share", image, "sh", "-c",
			"trap 'echo stopped >/share/said; exit 0' TERM; echo up >/share/said; while :; do sleep 1 & wait $!; done")
		lab.Eventually(t, "the container runs", func() bool { return textOf(share+"/said") == "up\n" })
		if out, err := exec.Command(c.program, "stop", "--socket", c.socket).CombinedOutput(); err != nil {
			t.Errorf("stopping: %v\n%s", err, out)
		}
		if got := textOf(share + "/said"); got != "stopped\n" {
			t.Errorf("the container says %q", got)
		}
		if err := c.agent.Wait(); err != nil {
			t.Errorf("the agent ends with %v", err)
		}
		if out, err := exec.Command(c.program, "stop", "--socket", c.socket).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("stopping what is stopped: %v\n%s", err, out)
		}
	})
}

func (c *crossing) vanishing(t *testing.T) (*agent.Client, func()) {
	t.Helper()
	var conn net.Conn
	client, err := agent.Connect(t.Context(), func(ctx context.Context) (net.Conn, error) {
		var err error
		conn, err = agent.Socket(c.socket)(ctx)
		return conn, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, func() { conn.Close() }
}

func (c *crossing) replace(t *testing.T, g crossed, program string) {
	t.Helper()
	f, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	if err := g.Replace(ctx, f, hex.EncodeToString(sum.Sum(nil)), false); err != nil {
		t.Fatal(err)
	}
}

// adopted waits until the agent has the daemons of the one before.
func adopted(t *testing.T, g crossed, before *agentpb.InfoReply) {
	t.Helper()
	if err := g.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "the daemons are adopted", func() bool {
		for i, d := range info(t, g).GetDaemons() {
			if d.GetPid() != before.GetDaemons()[i].GetPid() || !d.GetAdopted() || d.GetState() != "running" {
				return false
			}
		}
		return true
	})
}

func info(t *testing.T, g crossed) *agentpb.InfoReply {
	t.Helper()
	reply, err := g.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func textOf(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// An agent that has nothing to go by says so.
func TestCrossingWithoutASpecification(t *testing.T) {
	out, err := exec.Command(filepath.Join(lab.Root(), "bin", "linnet-agent"), "guest", "--spec", "/nonexistent", "--socket", "/nonexistent/s").CombinedOutput()
	want := "linnet-agent: reading the engine's specification: open /nonexistent: no such file or directory\n" +
		"hint: linnet writes it when it starts the virtual machine: linnet engine restart\n"
	if err == nil || string(out) != want {
		t.Errorf("%v, %q", err, out)
	}
}

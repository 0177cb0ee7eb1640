//go:build e2e && linux

package native_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/relay"
	"github.com/linnet-dev/linnet/pkg/relay/relaytest"
)

// relayed is an agent that is reached through a relay, as in a virtual machine: what its
// containers publish is published by the relay.
type relayed struct {
	*crossing
	sshd    *relaytest.SSHD
	options relay.Options
}

func newRelayed(t *testing.T) *relayed {
	c := newCrossingIn(t, newNetns(t))
	dir := filepath.Join(filepath.Dir(c.Home), "vm")
	log := logrus.New()
	log.SetOutput(t.Output())
	r := &relayed{crossing: c, sshd: relaytest.NewSSHD(t, t.TempDir())}
	r.options = relay.Options{
		AgentSocket: filepath.Join(dir, "agent.sock"), ControlSocket: filepath.Join(dir, "relay.sock"),
		Lock: filepath.Join(dir, "relay.lock"), HostKey: r.sshd.HostKey, GuestSocket: c.socket,
		Target: func(context.Context) (relay.Target, error) {
			return relay.Target{Address: r.sshd.Addr, User: "me", Key: r.sshd.Key}, nil
		},
		Alive: func() bool { return true },
		Log:   log,
	}
	r.relay(t)
	return r
}

// stop ends the engine with the agent that runs now.
func (r *relayed) stop(t *testing.T) {
	t.Helper()
	if out, err := exec.Command(r.program, "stop", "--socket", r.socket).CombinedOutput(); err != nil {
		t.Errorf("stopping: %v\n%s", err, out)
	}
}

// relay runs one until it is stopped.
func (r *relayed) relay(t *testing.T) (stop func()) {
	t.Helper()
	one, err := relay.New(r.options)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- one.Run(context.WithoutCancel(t.Context())) }()
	lab.Eventually(t, "the relay is connected", func() bool {
		s, err := relay.Query(t.Context(), r.options.ControlSocket)
		return err == nil && s.Connected
	})
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := relay.Stop(context.WithoutCancel(t.Context()), r.options.ControlSocket); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// nerdctl runs nerdctl in the guest.
func (r *relayed) nerdctl(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // it also cleans up
	client, err := agent.Dial(ctx, r.options.AgentSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var stdout, stderr strings.Builder
	err = client.Run(ctx, guest.Process{Argv: append([]string{"nerdctl"}, args...), Stdout: &stdout, Stderr: &stderr})
	code, ran := guest.ExitCode(err)
	if err != nil && !ran {
		t.Fatalf("nerdctl %q: %v", args, err)
	}
	return strings.TrimSpace(stdout.String()), stderr.String(), code
}

func (r *relayed) must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := r.nerdctl(t, args...)
	if code != 0 {
		t.Fatalf("nerdctl %q: exit code %d\n%s", args, code, errs)
	}
	return out
}

// onePage fetches a page from a port of this host, once.
func onePage(address string) (string, error) {
	conn, err := net.DialTimeout("tcp4", address, lab.Timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(lab.Timeout)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	return strings.TrimSpace(line), err
}

// says fails unless the port of a container answers now with its page.
func says(t *testing.T, address, want string) {
	t.Helper()
	if got, err := onePage(address); err != nil || got != want {
		t.Errorf("%s says %q, %v; want %q", address, got, err, want)
	}
}

func free(t *testing.T, address string) {
	t.Helper()
	lab.Eventually(t, address+" is free", func() bool {
		l, err := net.Listen("tcp4", address)
		if err == nil {
			l.Close()
		}
		return err == nil
	})
}

// What containers of a virtual machine publish is published on the host, when the command
// that says so returns and for as long as they run, whatever is restarted in between.
func TestPortsOfAVirtualMachine(t *testing.T) {
	t.Parallel()
	outer := t
	r := newRelayed(t)
	defer r.stop(t)
	image := r.Busybox(t)
	// serve runs a server that is listening when this returns.
	serve := func(t *testing.T, name string, flags ...string) {
		t.Helper()
		script := "mkdir -p /www && echo " + name + " >/www/index.html && exec httpd -f -p 80 -h /www"
		r.must(t, append(append([]string{"run", "-d", "--name", name}, flags...), image, "sh", "-c", script)...)
		t.Cleanup(func() { r.nerdctl(t, "rm", "-f", name) })
		r.must(t, "exec", name, "sh", "-c", "until grep -q ':0050 .* 0A ' /proc/net/tcp /proc/net/tcp6; do :; done")
	}

	t.Run("Published", func(t *testing.T) {
		serve(t, "published", "-p", "127.0.0.1:18480:80", "-p", "18481-18482:80-81")
		says(t, "127.0.0.1:18480", "published")
		says(t, "127.0.0.1:18481", "published")
		if _, err := net.DialTimeout("tcp4", "127.0.0.2:18480", time.Second); err == nil {
			t.Error("a port of 127.0.0.1 is open at 127.0.0.2")
		}
		if got := r.must(t, "port", "published", "80"); !strings.Contains(got, "127.0.0.1:18480") {
			t.Errorf("nerdctl port says %q", got)
		}
		r.must(t, "stop", "-t", "1", "published")
		free(t, "127.0.0.1:18480")
		r.must(t, "start", "published")
		r.must(t, "exec", "published", "sh", "-c", "until grep -q ':0050 .* 0A ' /proc/net/tcp /proc/net/tcp6; do :; done")
		says(t, "127.0.0.1:18480", "published")
		r.must(t, "rm", "-f", "published")
		free(t, "127.0.0.1:18480")
		free(t, "0.0.0.0:18482")
	})

	t.Run("Taken", func(t *testing.T) {
		l, err := net.Listen("tcp4", "127.0.0.1:18483")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, errs, code := r.nerdctl(t, "run", "-d", "--name", "taken", "-p", "18484:81", "-p", "127.0.0.1:18483:80", image, "sleep", "600")
		t.Cleanup(func() { r.nerdctl(t, "rm", "-f", "taken") })
		const why = "bind for 127.0.0.1:18483 failed: port is already allocated"
		if code != 1 || !strings.Contains(errs, why) { // nerdctl's own code and words where it finds it out itself
			t.Errorf("exit code %d, %s", code, errs)
		}
		_, errs, code = r.nerdctl(t, "run", "--rm", "--name", "gone", "-p", "127.0.0.1:18483:80", image, "true")
		if code != 1 || !strings.Contains(errs, why) {
			t.Errorf("with --rm: exit code %d, %s", code, errs)
		}
		// What was not asked to go stays, as with docker, and starts once the port is free.
		if all := r.must(t, "ps", "--all", "--format", "{{.Names}} {{.Status}}"); all != "taken Created" {
			t.Errorf("left is %q", all)
		}
		if up := r.must(t, "ps", "-q"); up != "" {
			t.Errorf("a container runs: %s", up)
		}
		free(t, "0.0.0.0:18484")
	})

	t.Run("Networks", func(t *testing.T) {
		for _, name := range []string{"ports-a", "ports-b"} {
			r.must(t, "network", "create", name)
			t.Cleanup(func() { r.nerdctl(t, "network", "rm", name) })
		}
		serve(t, "both", "--network", "ports-a", "--network", "ports-b", "-p", "127.0.0.1:18485:80")
		says(t, "127.0.0.1:18485", "both")
	})

	t.Run("Restarted", func(t *testing.T) {
		serve(t, "lasting", "-p", "127.0.0.1:18486:80")
		r.sshd.Kill()
		says(t, "127.0.0.1:18486", "lasting") // who comes meanwhile waits
		_ = r.agent.Process.Kill()
		_ = r.agent.Wait()
		r.start(outer)
		lab.Eventually(t, "the port of before answers", func() bool {
			got, err := onePage("127.0.0.1:18486")
			return err == nil && got == "lasting"
		})
		if err := relay.Stop(t.Context(), r.options.ControlSocket); err != nil {
			t.Fatal(err)
		}
		free(t, "127.0.0.1:18486")
		r.relay(outer)
		lab.Eventually(t, "the next relay opens the port", func() bool {
			got, err := onePage("127.0.0.1:18486")
			return err == nil && got == "lasting"
		})
	})
}

package agentserver

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
)

// lab is a Server on a socket, in this process.
type lab struct {
	*Server
	socket string
	dir    string
}

// newLab serves until the test ends.
func newLab(t testing.TB, change func(*Options)) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "ln-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	memory := dir
	if runtime.GOOS == "linux" {
		if memory, err = os.MkdirTemp("/dev/shm", "ln-"); err != nil {
			t.Fatal(err)
		}
	}
	log := logrus.New()
	log.SetOutput(t.Output())
	l := &lab{socket: filepath.Join(dir, "agent.sock"), dir: dir}
	o := Options{
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + dir}, Dir: dir,
		Stages: filepath.Join(memory, "stage"), Socket: l.socket, Records: filepath.Join(memory, "commands"),
		Grace: 500 * time.Millisecond, Log: log,
	}
	if change != nil {
		change(&o)
	}
	if l.Server, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", l.socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(ServerOptions()...)
	l.Register(g)
	agentpb.RegisterEngineServer(g, &fakeEngine{Server: l.Server})
	served := make(chan error, 1)
	go func() { served <- l.Serve(context.WithoutCancel(t.Context()), listener, g) }()
	t.Cleanup(func() {
		l.Close(context.WithoutCancel(t.Context()))
		g.Stop()
		listener.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
		os.RemoveAll(memory)
	})
	return l
}

func (l *lab) client(t testing.TB) *agent.Client {
	t.Helper()
	c, err := agent.Dial(t.Context(), l.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// here is a guest whose far side is a Server on this machine.
type here struct{ *agent.Client }

func (here) Ready(context.Context) error { return nil }

func (here) Path(path string) (guest.Visible, error) {
	if !filepath.IsAbs(path) {
		return guest.Visible{}, &guest.NotVisibleError{Host: path, Reason: "the path is not absolute"}
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil && path != "/" {
		v, err := here{}.Path(filepath.Dir(path))
		return guest.Visible{Path: filepath.Join(v.Path, filepath.Base(path))}, err
	}
	return guest.Visible{Path: resolved}, err
}

func (here) Capabilities() guest.Capabilities { return guest.Capabilities{Machine: true} }

func (h here) Dial(ctx context.Context, s guest.Service) (net.Conn, error) {
	return h.Client.Dial(ctx, string(s))
}

func TestTheCrossingKeepsTheContractOfAGuest(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for stubborn commands for seconds")
	}
	guesttest.Suite(t, guesttest.Target{
		New:      func(t *testing.T) guest.Guest { return here{newLab(t, nil).client(t)} },
		ShareDir: t.TempDir(),
	})
}

func sh(script string, args ...string) guest.Process {
	return guest.Process{Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...)}
}

func result(t *testing.T, c *agent.Client, p guest.Process) string {
	t.Helper()
	var out strings.Builder
	p.Stdout = &out
	if err := c.Run(t.Context(), p); err != nil {
		t.Fatalf("running %q: %v", p.Argv, err)
	}
	return out.String()
}

func TestTheEnvironmentIsTheGuestsAndWhatIsAdded(t *testing.T) {
	c := newLab(t, func(o *Options) { o.Env = append(o.Env, "KEPT=1", "TAKEN=1", "CHANGED=1") }).client(t)
	p := sh("env")
	p.Env = []string{"TAKEN", "CHANGED=2", "CHANGED=3", "LATE=1", "LATE"}
	got := strings.Split(result(t, c, p), "\n")
	for name, want := range map[string]string{"KEPT": "1", "TAKEN": "", "CHANGED": "3", "LATE": ""} {
		var values []string
		for _, pair := range got {
			if v, ok := strings.CutPrefix(pair, name+"="); ok {
				values = append(values, v)
			}
		}
		if strings.Join(values, ",") != want {
			t.Errorf("%s is %q, want %q", name, values, want)
		}
	}
}

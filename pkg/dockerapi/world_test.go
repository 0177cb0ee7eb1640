package dockerapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

// fakeDaemon listens on a unix socket once it is started.
type fakeDaemon struct {
	socket  string
	handler http.Handler

	mu     sync.Mutex
	server *http.Server
	starts int
}

func (f *fakeDaemon) start(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.starts++
	if f.server != nil {
		return nil
	}
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		return err
	}
	f.server = &http.Server{Handler: f.handler, Protocols: new(http.Protocols)}
	f.server.Protocols.SetHTTP1(true)
	f.server.Protocols.SetUnencryptedHTTP2(true)
	go func(s *http.Server) { _ = s.Serve(l) }(f.server)
	return nil
}

func (f *fakeDaemon) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		_ = f.server.Close()
		f.server = nil
	}
}

func (f *fakeDaemon) started() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts
}

// world is a door with a daemon behind it.
type world struct {
	*Door
	daemon *fakeDaemon
	socket string
	client *http.Client
	// end ends Serve, and served is its result.
	end    func()
	served chan error
}

// newWorld serves a door; change may change what it is made of.
func newWorld(t testing.TB, handler http.HandlerFunc, change func(*Config)) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "door") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{daemon: &fakeDaemon{socket: filepath.Join(dir, "d"), handler: handler}, socket: filepath.Join(dir, "s"), served: make(chan error, 1)}
	log := logrus.New()
	log.SetOutput(io.Discard)
	c := Config{Start: w.daemon.start, Log: log}
	c.Dial = func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.daemon.socket)
	}
	if change != nil {
		change(&c)
	}
	w.Door = New(c)
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // it ends in a clean-up, after t's
	w.end = cancel
	go func() { w.served <- w.Serve(ctx, l) }()
	w.client = &http.Client{Transport: &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}}}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		cancel()
		if err := <-w.served; err != nil {
			t.Error(err)
		}
		w.daemon.stop()
	})
	return w
}

func (w *world) dial(t testing.TB) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UnixConn)
}

// ask makes a request and reads its answer whole.
func (w *world) ask(t testing.TB, method, path string, body io.Reader) (status int, text string) {
	t.Helper()
	status, _, text = w.askHead(t, method, path, body)
	return status, text
}

func (w *world) askHead(t testing.TB, method, path string, body io.Reader) (status int, head http.Header, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://docker"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(all)
}

// clock is one that a test sets.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.Load()) }

func (d *Door) setClock(c *clock) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now, d.last = c.now, c.now()
}

func (d *Door) flying() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inFlight
}

// inFlightIs waits until so many requests are in flight.
func (w *world) inFlightIs(t testing.TB, want int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for overdue := time.After(30 * time.Second); w.flying() != want; {
		select {
		case <-tick.C:
		case <-overdue:
			t.Errorf("%d requests are in flight, want %d", w.flying(), want)
			return
		}
	}
}

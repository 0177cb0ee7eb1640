// Package dockerapi is the door in front of a daemon that speaks Docker's API. It takes requests on a listener, starts the daemon when the
// first one comes, passes requests on, and knows for how long there were none. It knows HTTP and what a few of the API's paths mean
// (https://docs.docker.com/reference/api/engine/). It must not know containerd, nor how the daemon is started.
package dockerapi

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// Config is what a Door is made of. Start, Dial and Log are required.
type Config struct {
	// Start starts the daemon and returns when it accepts connections. It returns at once when it does already. It is called once at a time, and
	// its context is that of Serve: no client ends it. Its error and that one's hint are what clients are told.
	Start func(ctx context.Context) error
	// Dial connects to the daemon. The connection has CloseWrite, as that of a unix socket has: else a client's half-close closes it.
	Dial func(ctx context.Context) (net.Conn, error)
	// Path returns where the daemon finds a path of the host that a container is to have, or why it cannot. Nil: everything is where it is.
	// It is called from many requests at once.
	Path func(host string) (string, error)
	// Gateway gives each container that has a network of its own the name host.docker.internal.
	Gateway bool
	Log     logrus.FieldLogger
}

// Door takes requests for the daemon.
type Door struct {
	config Config
	now    func() time.Time

	mu sync.Mutex
	// What Idle tells: how many requests are in flight, and when one came or ended last.
	inFlight int
	last     time.Time
	// What is known of the daemon, see daemon.go.
	running    bool
	generation int
	attempt    *attempt
	failed     *attempt
	suspending chan struct{}
}

// New makes a door. Nothing happens before Serve.
func New(c Config) *Door {
	return &Door{config: c, now: time.Now, last: time.Now()}
}

// Serve takes requests from a listener until ctx ends, which also ends every request, and then returns nil. It closes the listener, and
// returns when no request is left.
func (d *Door) Serve(ctx context.Context, l net.Listener) error {
	var handlers sync.RWMutex // held for reading by each
	proxy := d.proxy(ctx)
	quiet := log.New(debugWriter{d.config.Log}, "", 0)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handlers.RLock()
			defer handlers.RUnlock()
			d.serve(ctx, proxy, w, r)
		}),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    quiet,
		Protocols:   new(http.Protocols),
	}
	// The daemon takes both, too (daemon/command/daemon.go in moby): gRPC comes without an upgrade.
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(l)
	_ = server.Close()
	handlers.Lock()
	defer handlers.Unlock()
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// serve answers one request.
func (d *Door) serve(serving context.Context, proxy *httputil.ReverseProxy, w http.ResponseWriter, r *http.Request) {
	path := unversioned(r.URL.Path)
	// A client that follows events wants nothing of the daemon while nothing happens.
	defer d.enter(r.Method != http.MethodGet || path != "/events")()
	if err := d.edit(w, r, path); err != nil {
		answer(w, err)
		return
	}
	if isStream(r, path) {
		d.stream(serving, w, r)
		return
	}
	// Else this server reads, and drops, of a body what the daemon has not yet read when it begins to answer. HTTP/2 always does both.
	_ = http.NewResponseController(w).EnableFullDuplex()
	// The server adds what is missing, unless it is there without a value: what the daemon did not say is not said.
	w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
	proxy.ServeHTTP(w, r)
}

// Idle returns for how long no request has come or been in flight. ok is false while one is in flight. An open GET /events does not count, its arrival does.
func (d *Door) Idle() (quiet time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now().Sub(d.last), d.inFlight == 0
}

// enter notes that a request has come, and returns what notes that it has ended. Only what counts is in flight in between.
func (d *Door) enter(counts bool) (leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = d.now()
	if !counts {
		return func() {}
	}
	d.inFlight++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.inFlight--
		d.last = d.now()
	}
}

// unversioned is a path of the API without its version: /v1.47/events is /events.
func unversioned(path string) string {
	rest, is := strings.CutPrefix(path, "/v")
	version, _, more := strings.Cut(rest, "/")
	if !is || !more || version == "" || strings.Trim(version, "0123456789.") != "" {
		return path
	}
	return rest[len(version):]
}

// debugWriter takes what net/http logs: clients and daemons that went away.
type debugWriter struct{ log logrus.FieldLogger }

func (w debugWriter) Write(line []byte) (int, error) {
	w.log.Debug(strings.TrimSpace(string(line)))
	return len(line), nil
}

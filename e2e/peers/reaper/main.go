// Command reaper does in tests what testcontainers' own reaper does, in a container beside those of a test: it listens on port 8080, a
// connection tells it filters, a line each, which it answers with ACK, and when the last connection has been gone for a while it
// removes what the filters find, by Docker's API over the mounted socket, and ends.
//
// It takes the variables that the libraries set: RYUK_CONNECTION_TIMEOUT for the first connection (default 60s) and
// RYUK_RECONNECTION_TIMEOUT after the last (default 10s), as Go's durations.
//
// It is linked with the standard library alone, so that its directory is all that it is made of.
package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "reaper:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	r := &reaper{docker: dockerAt(cmp.Or(os.Getenv("RYUK_DOCKER_SOCKET"), "/var/run/docker.sock")), log: os.Stderr}
	for name, t := range map[string]struct {
		to       *time.Duration
		fallback string
	}{
		"RYUK_CONNECTION_TIMEOUT":   {&r.first, "60s"},
		"RYUK_RECONNECTION_TIMEOUT": {&r.again, "10s"},
	} {
		d, err := time.ParseDuration(cmp.Or(os.Getenv(name), t.fallback))
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		*t.to = d
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", ":8080")
	if err != nil {
		return err
	}
	return r.serve(ctx, l)
}

// dockerAt reaches Docker's API at a unix socket, whatever host a request names.
func dockerAt(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}

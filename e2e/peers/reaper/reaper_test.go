//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// daemon answers lists of Docker's API and notes what is removed.
type daemon struct {
	mu      sync.Mutex
	lists   map[string]string // by path
	asked   []string          // the filters of the lists of containers
	removed []string
}

func (d *daemon) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	answer := &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Body: io.NopCloser(strings.NewReader(d.lists[r.URL.Path]))}
	switch {
	case r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/gone"):
		answer.StatusCode, answer.Status = http.StatusNotFound, "404 Not Found"
	case r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/held"):
		answer.StatusCode, answer.Status = http.StatusConflict, "409 Conflict"
	case r.Method == http.MethodDelete:
		d.removed = append(d.removed, r.URL.RequestURI())
	case r.URL.Path == "/containers/json":
		d.asked = append(d.asked, r.URL.Query().Get("filters"))
	}
	return answer, nil
}

func newDaemon() *daemon {
	return &daemon{lists: map[string]string{
		"/containers/json": `[{"Id": "c1"}, {"Id": "itself", "Labels": {"org.testcontainers.ryuk": "true"}}, {"Id": "gone"}]`,
		"/networks":        `[{"Id": "n1"}]`,
		"/volumes":         `{"Volumes": [{"Name": "v1"}]}`,
		"/images/json":     `[{"Id": "sha256:i1"}]`,
	}}
}

// pipes is a listener whose connections are made by dial.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.conns <- far
	return near
}

// tell sends a line of filters and returns the answer.
func tell(t *testing.T, c net.Conn, line string) string {
	t.Helper()
	fmt.Fprintln(c, line)
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	return answer
}

// started runs a reaper with Docker's defaults, and returns how to await its end.
func started(ctx context.Context, d *daemon, p *pipes) (end func() (time.Duration, error)) {
	r := &reaper{docker: &http.Client{Transport: d}, first: time.Minute, again: 10 * time.Second, log: &bytes.Buffer{}}
	begun, ended := time.Now(), make(chan error)
	go func() { ended <- r.serve(ctx, p) }()
	return func() (time.Duration, error) {
		err := <-ended
		return time.Since(begun), err
	}
}

func TestWhatTheFiltersFindIsRemovedAfterTheLastConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newDaemon(), newPipes()
		end := started(t.Context(), d, p)
		first, second := p.dial(), p.dial()
		const line = "label=org.testcontainers%3Dtrue&label=org.testcontainers.sessionId%3Ds1"
		for _, c := range []net.Conn{first, second} {
			if got := tell(t, c, line); got != "ACK\n" {
				t.Errorf("the answer is %q", got)
			}
		}
		first.Close()
		<-time.After(time.Hour) // of the test's own clock: the second is there still
		second.Close()
		<-time.After(9 * time.Second)
		third := p.dial() // in time
		<-time.After(time.Minute)
		third.Close()
		after, err := end()
		if want := time.Hour + 9*time.Second + time.Minute + 10*time.Second; after != want || err != nil {
			t.Errorf("it ended after %v, %v, want %v", after, err, want)
		}
		if want := []string{`{"label":["org.testcontainers=true","org.testcontainers.sessionId=s1"]}`}; !slices.Equal(d.asked, want) {
			t.Errorf("the filters are %q, want %q", d.asked, want)
		}
		want := []string{"/containers/c1?force=1&v=1", "/networks/n1", "/volumes/v1?force=1", "/images/sha256:i1?force=1"}
		if !slices.Equal(d.removed, want) {
			t.Errorf("removed %q, want %q", d.removed, want)
		}
	})
}

func TestWithoutAConnectionNothingIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon()
		after, err := started(t.Context(), d, newPipes())()
		if after != time.Minute || err != nil || d.removed != nil {
			t.Errorf("it ended after %v, %v, and removed %q", after, err, d.removed)
		}
	})
}

func TestASignalRemovesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d, p := newDaemon(), newPipes()
		end := started(ctx, d, p)
		c := p.dial()
		tell(t, c, "label=a%3Db")
		cancel()
		if after, err := end(); after != 0 || err != nil || len(d.removed) != 4 {
			t.Errorf("it ended after %v, %v, and removed %q", after, err, d.removed)
		}
		c.Close()
	})
}

func TestWhatCannotBeRemovedIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newDaemon(), newPipes()
		d.lists["/networks"] = `[{"Id": "held"}]`
		end := started(t.Context(), d, p)
		c := p.dial()
		tell(t, c, "label=a%3Db")
		c.Close()
		_, err := end()
		if err == nil || !strings.HasPrefix(err.Error(), "DELETE /networks/held: 409 Conflict") || len(d.removed) != 3 {
			t.Errorf("%v, removed %q", err, d.removed)
		}
	})
}

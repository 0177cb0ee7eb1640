package dockerapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/hint"
)

func TestUnversioned(t *testing.T) {
	for path, want := range map[string]string{
		"/events": "/events", "/v1.47/events": "/events", "/v1/containers/create": "/containers/create", "/volumes": "/volumes",
		"/v1.47": "/v1.47", "/v/x": "/v/x", "/v1x/y": "/v1x/y", "/version": "/version", "/v1.2/": "/", "": "",
	} {
		if got := unversioned(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestARequestArrivesAsItWasSent(t *testing.T) {
	got := make(chan string, 1)
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		var head bytes.Buffer
		fmt.Fprintf(&head, "%s %s %s\n", r.Method, r.RequestURI, r.Host)
		_ = r.Header.Write(&head)
		got <- head.String()
		w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
		_, _ = io.WriteString(w, "body")
	}, nil)
	conn := w.dial(t)
	_, _ = io.WriteString(conn, "DELETE /v1.47/images/a%2Fb:c?x=1;2&y=%zz HTTP/1.1\r\nHost: api.moby.localhost\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=a\r\nX-Registry-Auth: s\r\n\r\n")
	reader := bufio.NewReader(conn)
	var head []string
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			break
		}
		head = append(head, strings.TrimSpace(line))
	}
	if want := "HTTP/1.1 200 OK\nContent-Length: 4"; strings.Join(head, "\n") != want {
		t.Errorf("the answer's head is %q, want %q", head, want)
	}
	want := "DELETE /v1.47/images/a%2Fb:c?x=1;2&y=%zz api.moby.localhost\nConnection: close\r\nX-Registry-Auth: s\r\n"
	if have := <-got; have != want {
		t.Errorf("the daemon got %q, want %q", have, want)
	}
}

func TestAnAnswerIsFlushedAtOnceWhileTheBodyIsStillSent(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		buffer := make([]byte, 3)
		for {
			if _, err := io.ReadFull(r.Body, buffer); err != nil {
				return
			}
			_, _ = w.Write(buffer)
			_ = rc.Flush()
		}
	}, nil)
	out, in := io.Pipe()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://docker/build", out)
	first := make(chan error, 1)
	go func() { _, err := io.WriteString(in, "one"); first <- err }()
	answer, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"one", "two", "end"} {
		buffer := make([]byte, 3)
		if _, err := io.ReadFull(answer.Body, buffer); err != nil || string(buffer) != word {
			t.Fatalf("%q, %v, want %q", buffer, err, word)
		}
		next := map[string]string{"one": "two", "two": "end"}[word]
		if _, err := io.WriteString(in, next); err != nil {
			t.Fatal(err)
		}
	}
	in.Close()
	if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestHTTP2WithoutAnUpgrade(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		fmt.Fprintf(w, "%d ", r.ProtoMajor)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("Grpc-Status", "0")
	}, nil)
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &only, DialContext: w.client.Transport.(*http.Transport).DialContext}}
	defer client.CloseIdleConnections()
	out, in := io.Pipe()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://docker/moby.buildkit.v1.Control/Solve", out)
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	go func() { _, _ = io.WriteString(in, "hello"); in.Close() }()
	all, err := io.ReadAll(answer.Body)
	if err != nil || string(all) != "2 hello" || answer.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%q, %v, %v", all, err, answer.Trailer)
	}
}

func TestAClientThatGoesAwayCancelsItsRequest(t *testing.T) {
	came, cancelled := make(chan bool), make(chan bool)
	w := newWorld(t, func(_ http.ResponseWriter, r *http.Request) {
		came <- true
		<-r.Context().Done()
		cancelled <- true
	}, nil)
	conn := w.dial(t)
	_, _ = io.WriteString(conn, "GET /containers/a/logs?follow=1 HTTP/1.1\r\nHost: docker\r\n\r\n")
	<-came
	conn.Close()
	<-cancelled
}

func TestADaemonThatEndsBeforeItAnswers(t *testing.T) {
	var hits atomic.Int32
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {
		hits.Add(1)
		panic(http.ErrAbortHandler)
	}, nil)
	status, text := w.ask(t, http.MethodPost, "/containers/a/start", strings.NewReader("x"))
	// Whether the connection ends or is reset depends on how much of the request the daemon has read.
	said, hinted := strings.HasPrefix(text, `{"message":"asking the Docker daemon: `), strings.HasSuffix(text, `\nhint: the daemon may have ended; try again"}`+"\n")
	if status != http.StatusBadGateway || !said || !hinted {
		t.Errorf("%d %q", status, text)
	}
	if hits.Load() != 1 {
		t.Errorf("the daemon was asked %d times", hits.Load())
	}
}

func TestIdle(t *testing.T) {
	came, release := make(chan bool), make(chan bool)
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		came <- true
		<-release
	}, nil)
	ticks := &clock{}
	w.setClock(ticks)
	check := func(when string, want time.Duration, wantOK bool) {
		t.Helper()
		if quiet, ok := w.Idle(); quiet != want || ok != wantOK {
			t.Errorf("%s: %v %v, want %v %v", when, quiet, ok, want, wantOK)
		}
	}
	begin := func(path string) (end func()) {
		conn := w.dial(t)
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: docker\r\n\r\n")
		<-came
		return func() {
			release <- true
			conn.Close()
		}
	}
	ticks.Add(int64(time.Minute))
	check("before the first", time.Minute, true)
	end := begin("/containers/a/logs?follow=1")
	ticks.Add(int64(time.Minute))
	check("in flight", time.Minute, false)
	end()
	w.inFlightIs(t, 0)
	check("just ended", 0, true)
	for _, path := range []string{"/events", "/v1.47/events?since=1"} {
		ticks.Add(int64(time.Hour))
		end = begin(path)
		check("events came", 0, true)
		ticks.Add(int64(time.Minute))
		check("events are open", time.Minute, true)
		end()
		check("events have ended", time.Minute, true)
	}
	if called, err := w.Suspend(t.Context(), 2*time.Minute, nil); called || err != nil {
		t.Errorf("it was suspended too early: %v", err)
	}
}

func TestTheEndOfServeEndsRequests(t *testing.T) {
	came := make(chan bool, 2)
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
			came <- true
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
			return
		}
		came <- true
		<-r.Context().Done()
	}, nil)
	for _, head := range []string{"GET /x HTTP/1.1\r\nHost: d\r\n\r\n", "POST /containers/a/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"} {
		conn := w.dial(t)
		_, _ = io.WriteString(conn, head)
		<-came
		defer func() { _, _ = io.Copy(io.Discard, conn) }() // ends
	}
	w.end()
	err := <-w.served
	w.served <- err
	if w.flying() != 0 {
		t.Errorf("%d requests are left", w.flying())
	}
}

func TestBodiesThroughTheDoor(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %v %s", r.ContentLength, err, body)
	}, func(c *Config) {
		c.Gateway = true
		c.Path = func(host string) (string, error) {
			if host == "/tmp/x" {
				return "", hint.New("the virtual machine does not see /tmp/x", "share it")
			}
			return "/mnt" + host, nil
		}
	})
	pad := strings.Repeat(" ", mostBody)
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/containers/create?name=a", `{"HostConfig":{"NetworkMode":"none"} }`, 200, `38 <nil> {"HostConfig":{"NetworkMode":"none"} }`},
		{"/v1.47/containers/create", `{"HostConfig":{"NetworkMode":"none","Binds":["/a:/b"]}}`, 200, `59 <nil> {"HostConfig":{"Binds":["/mnt/a:/b"],"NetworkMode":"none"}}`},
		{"/v1.47/containers/create", `{}`, 200, `67 <nil> {"HostConfig":{"ExtraHosts":["host.docker.internal:host-gateway"]}}`},
		{"/v1.47/containers/create", `{"HostConfig":{"Binds":["/tmp/x:/b"]}}`, 400, `{"message":"the virtual machine does not see /tmp/x\nhint: share it"}` + "\n"},
		{"/volumes/create", `{"DriverOpts":{"o":"bind","device":"/tmp/x"}}`, 400, `{"message":"the virtual machine does not see /tmp/x\nhint: share it"}` + "\n"},
		{"/v1.47/containers/create", pad + "{}", 413, `{"message":"the body of POST /v1.47/containers/create is larger than 8 MiB"}` + "\n"},
		{"/containers/a/update", `{"HostConfig":{"Binds":["/tmp/x:/b"]}}`, 200, `38 <nil> {"HostConfig":{"Binds":["/tmp/x:/b"]}}`},
	} {
		for _, body := range []io.Reader{strings.NewReader(c.body), io.MultiReader(strings.NewReader(c.body))} { // with a length, and chunked
			want := c.want
			if _, sized := body.(*strings.Reader); !sized && strings.Contains(c.path, "update") {
				want = "-1" + strings.TrimPrefix(want, "38")
			}
			if status, text := w.ask(t, http.MethodPost, c.path, body); status != c.status || text != want {
				t.Errorf("%s %.60q: %d %q, want %q", c.path, c.body, status, text, want)
			}
		}
	}
}

// BenchmarkGet shows what the door adds to a small request on a new connection, as each command of a client makes one.
func BenchmarkGet(b *testing.B) {
	w := newWorld(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }, nil)
	w.ask(b, http.MethodGet, "/_ping", nil)
	for name, socket := range map[string]string{"direct": w.daemon.socket, "door": w.socket} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				conn, err := net.Dial("unix", socket)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.WriteString(conn, "GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
				if all, err := io.ReadAll(conn); err != nil || !bytes.HasSuffix(all, []byte("OK")) {
					b.Fatalf("%q, %v", all, err)
				}
				conn.Close()
			}
		})
	}
}

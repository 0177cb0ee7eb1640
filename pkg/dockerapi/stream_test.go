package dockerapi

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// hijacked is a handler that has a stream with the client, as the daemon has. It drops what its server has read already, as that does.
func hijacked(t testing.TB, talk func(conn *net.UnixConn, r *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if protocol := r.Header.Get("Upgrade"); protocol != "" {
			fmt.Fprintf(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
		} else {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")
		}
		talk(conn.(*net.UnixConn), r)
	}
}

const (
	attachHead = "POST /v1.47/containers/a/attach?stream=1 HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
	olderHead  = "POST /containers/a/attach?stream=1 HTTP/1.1\r\nHost: docker\r\n\r\n"
	execHead   = "POST /v1.47/exec/a/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 13\r\n\r\n{\"Tty\": true}"
	grpcHead   = "POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
	socketHead = "GET /containers/a/attach/ws HTTP/1.1\r\nHost: docker\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n\r\n"
	chunkHead  = "POST /exec/a/start HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
)

// readHead reads the head of an answer; the reader goes on with what follows.
func readHead(t testing.TB, conn net.Conn) (head string, rest *bufio.Reader) {
	t.Helper()
	rest = bufio.NewReader(conn)
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := rest.ReadString('\n')
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		head += line
	}
	return head, rest
}

func megabytes(seed byte) []byte {
	data := make([]byte, 5<<20)
	for i := range data {
		data[i] = byte(i)*seed + byte(i>>9)
	}
	return data
}

// A container's standard input ends, and its output still comes whole: each direction is closed by itself.
func TestHalfClosesTravelBothWays(t *testing.T) {
	in, out := megabytes(3), megabytes(7)
	for name, head := range map[string]string{"attach": attachHead, "older": olderHead, "exec": execHead, "grpc": grpcHead, "websocket": socketHead, "chunked": chunkHead} {
		t.Run("the client's first, "+name, func(t *testing.T) {
			w := newWorld(t, hijacked(t, func(conn *net.UnixConn, _ *http.Request) {
				if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, in) {
					t.Errorf("the daemon got %d bytes, %v", len(got), err)
				}
				_, _ = conn.Write(out)
			}), nil)
			conn := w.dial(t)
			_, _ = io.WriteString(conn, head)
			answer, rest := readHead(t, conn)
			if want := "HTTP/1.1 101 UPGRADED\r\n"; strings.Contains(head, "Upgrade") && !strings.HasPrefix(answer, want) {
				t.Errorf("%q", answer)
			}
			_, _ = conn.Write(in)
			_ = conn.CloseWrite()
			if got, err := io.ReadAll(rest); err != nil || !bytes.Equal(got, out) {
				t.Errorf("the client got %d bytes, %v", len(got), err)
			}
		})
		t.Run("the daemon's first, "+name, func(t *testing.T) {
			got := make(chan []byte, 1)
			w := newWorld(t, hijacked(t, func(conn *net.UnixConn, _ *http.Request) {
				_, _ = conn.Write(out)
				_ = conn.CloseWrite()
				all, _ := io.ReadAll(conn)
				got <- all
			}), nil)
			conn := w.dial(t)
			_, _ = io.WriteString(conn, head)
			_, rest := readHead(t, conn)
			if all, err := io.ReadAll(rest); err != nil || !bytes.Equal(all, out) {
				t.Errorf("the client got %d bytes, %v", len(all), err)
			}
			_, _ = conn.Write(in)
			_ = conn.CloseWrite()
			if all := <-got; !bytes.Equal(all, in) {
				t.Errorf("the daemon got %d bytes", len(all))
			}
		})
	}
}

func TestWhatIsSentWithTheHeadArrives(t *testing.T) {
	for _, head := range []string{attachHead, olderHead, execHead, grpcHead} {
		w := newWorld(t, hijacked(t, func(conn *net.UnixConn, _ *http.Request) { _, _ = io.Copy(conn, conn) }), nil)
		conn := w.dial(t)
		_, _ = io.WriteString(conn, head+"early")
		_ = conn.CloseWrite()
		_, rest := readHead(t, conn)
		if got, err := io.ReadAll(rest); err != nil || string(got) != "early" {
			t.Errorf("%q: %q, %v", head, got, err)
		}
	}
}

func TestTheHeadsOfAStreamAreWhatEachSideSaid(t *testing.T) {
	got := make(chan string, 1)
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var head bytes.Buffer
		_ = r.Header.Write(&head)
		got <- fmt.Sprintf("%s %s\n%s%s", r.Method, r.RequestURI, head.String(), body)
		hijacked(t, func(*net.UnixConn, *http.Request) {})(w, r)
	}, nil)
	conn := w.dial(t)
	_, _ = io.WriteString(conn, strings.Replace(execHead, "Host: docker", "Host: docker\r\nX-Forwarded-For: a\r\nX-Mine: b", 1))
	head, _ := readHead(t, conn)
	if want := "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nUpgrade: tcp\r\n\r\n"; head != want {
		t.Errorf("%q", head)
	}
	want := "POST /v1.47/exec/a/start\nConnection: Upgrade\r\nContent-Length: 13\r\nContent-Type: application/json\r\nUpgrade: tcp\r\nX-Mine: b\r\n{\"Tty\": true}"
	if have := <-got; have != want {
		t.Errorf("%q\nwant %q", have, want)
	}
}

// A container that ends without having read its standard input: its last output is not lost.
func TestOutputIsWholeWhenInputIsNotRead(t *testing.T) {
	out := megabytes(5)
	w := newWorld(t, hijacked(t, func(conn *net.UnixConn, _ *http.Request) { _, _ = conn.Write(out) }), nil)
	conn := w.dial(t)
	_, _ = io.WriteString(conn, attachHead)
	_, rest := readHead(t, conn)
	ended := make(chan bool)
	go func() {
		defer close(ended)
		_, _ = conn.Write(megabytes(1)) // fails: it is not read
	}()
	got, _ := io.ReadAll(rest)
	if !bytes.Equal(got, out) {
		t.Errorf("the client got %d bytes", len(got))
	}
	<-ended
}

func TestARefusedStreamIsAnAnswer(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"No such container: a"}`)
	}, nil)
	for _, path := range []string{"/containers/a/attach", "/exec/a/start"} {
		if status, text := w.ask(t, http.MethodPost, path, nil); status != 404 || text != `{"message":"No such container: a"}` {
			t.Errorf("%d %q", status, text)
		}
	}
}

func TestADaemonThatDiesBeforeItAnswersAnAttach(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil)
	status, text := w.ask(t, http.MethodPost, "/containers/a/attach", nil)
	if want := `{"message":"asking the Docker daemon: unexpected EOF\nhint: the daemon may have ended; try again"}` + "\n"; status != http.StatusBadGateway || text != want {
		t.Errorf("%d %q", status, text)
	}
}

func TestTwoHundredConnectionsAtOnce(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, r.URL.Path)
			return
		}
		hijacked(t, func(conn *net.UnixConn, _ *http.Request) {
			sum := sha256.New()
			_, _ = io.Copy(sum, conn)
			fmt.Fprintf(conn, "%x", sum.Sum(nil))
		})(w, r)
	}, nil)
	data := megabytes(9)[:64<<10]
	want := fmt.Sprintf("%x", sha256.Sum256(data))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if i%2 == 0 {
				path := fmt.Sprintf("/containers/%d/json", i)
				if status, text := w.ask(t, http.MethodGet, path, nil); status != 200 || text != path {
					t.Errorf("%d %q", status, text)
				}
				return
			}
			conn, err := net.Dial("unix", w.socket)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, attachHead)
			_, _ = conn.Write(data)
			_ = conn.(*net.UnixConn).CloseWrite()
			got, err := io.ReadAll(conn)
			if err != nil || !strings.HasSuffix(string(got), want) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	all.Wait()
	if w.daemon.started() != 1 {
		t.Errorf("%d starts", w.daemon.started())
	}
}

func TestIsStream(t *testing.T) {
	for _, c := range []struct {
		method, path, upgrade string
		length                int64
		major                 int
		want                  bool
	}{
		{"POST", "/containers/a/attach", "", 0, 1, true},
		{"POST", "/containers/a/attach", "tcp", 0, 1, true},
		{"POST", "/containers/a/attach", "", -1, 1, false},
		{"GET", "/containers/a/attach", "", 0, 1, false},
		{"POST", "/containers/a/b/attach", "", 0, 1, false},
		{"POST", "/exec/a/start", "", -1, 1, true},
		{"POST", "/exec/a/resize", "", 0, 1, false},
		{"POST", "/containers/a/start", "", 0, 1, false},
		{"POST", "/session", "h2c", 0, 1, true},
		{"POST", "/session", "", 0, 1, false},
		{"POST", "/build", "h2c", -1, 1, false},
		{"POST", "/images/load", "h2c", 1 << 30, 1, false},
		{"POST", "/exec/a/start", "", 0, 2, false},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), c.method, "http://docker"+c.path, nil)
		r.ContentLength, r.ProtoMajor = c.length, c.major
		if c.upgrade != "" {
			r.Header = http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {c.upgrade}}
		}
		if got := isStream(r, c.path); got != c.want {
			t.Errorf("%v: %v", c, got)
		}
	}
}

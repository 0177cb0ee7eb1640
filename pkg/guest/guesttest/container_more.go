package guesttest

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func containerSignals(t *testing.T, s *suite) {
	for name, sig := range forwarded {
		ch := make(chan os.Signal, 1)
		box := s.name(t)
		p := s.foreground(box, waiting(name, "echo caught "+name))
		p.Signals = ch
		x := s.attached(t, box, p)
		ch <- sig
		if code := x.code(); code != 43 || !strings.Contains(x.out.String(), "caught "+name) {
			t.Errorf("SIG%s: exit code %d, stdout %q, stderr %q", name, code, x.out, x.err)
		}
	}
}

func containerKill(t *testing.T, s *suite) {
	box := s.name(t)
	x := s.start(t, s.foreground(box, waiting("USR1", "echo caught")))
	x.expect("ready")
	s.must(t, "kill", "-s", "USR1", box)
	if code := x.code(); code != 43 || !strings.Contains(x.out.String(), "caught") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, x.out, x.err)
	}
}

// containerCancelled leaves no container behind that --rm has promised to remove.
func containerCancelled(t *testing.T, s *suite) {
	box := s.name(t)
	x := s.attached(t, box, s.foreground(box, waiting("TERM", "echo caught")))
	x.cancel()
	if err := x.wait(); err == nil {
		t.Error("Run returned no error")
	}
	s.until(t, box+" is removed", func() bool {
		return s.must(t, "ps", "-a", "-q", "--filter", "name="+box) == ""
	})
}

func bindMount(t *testing.T, s *suite) {
	dir := s.scratch(t)
	write(t, filepath.Join(dir, "mine"), "from the host")
	script := `cat /mnt/mine; printf ', answered' >>/mnt/mine; printf made >/mnt/theirs; stat -c ' %u' /mnt/mine`
	code, out, stderr := s.nerdctl(t, "run", "--rm", "--network", "none", "--name", s.name(t),
		"-v", s.visible(t, dir).Path+":/mnt", s.Image, "/bin/sh", "-c", script)
	inside := strings.TrimPrefix(out, "from the host ")
	if code != 0 || inside == out {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, out, stderr)
	}
	// Rootless, its user is root in there.
	if id := strings.TrimSpace(inside); id != "0" && id != strconv.Itoa(os.Getuid()) {
		t.Errorf("in the container, the host's file belongs to %s", id)
	}
	for file, want := range map[string]string{"mine": "from the host, answered", "theirs": "made"} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", file, got, err)
		}
		st, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Getuid() {
			t.Errorf("%s belongs to %d, not to %d", file, sys.Uid, os.Getuid())
		}
	}
}

func bindMountReadOnly(t *testing.T, s *suite) {
	dir := s.scratch(t)
	write(t, filepath.Join(dir, "file"), "x")
	code, out, _ := s.nerdctl(t, "run", "--rm", "--network", "none", "--name", s.name(t),
		"-v", s.visible(t, dir).Path+":/mnt:ro", s.Image, "/bin/sh", "-c", "cat /mnt/file; : >/mnt/new")
	if _, err := os.Stat(filepath.Join(dir, "new")); code == 0 || out != "x" || err == nil {
		t.Errorf("exit code %d, stdout %q; the file it may not make: %v", code, out, err)
	}
}

// freePort is one that no process listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// publishedPort connects once, as soon as both sides are there: run -d has returned, and
// the server in the container listens.
func publishedPort(t *testing.T, s *suite) {
	port := freePort(t)
	box := s.detached(t, "mkdir /www && echo hello >/www/index.html && exec httpd -f -p 8080 -h /www",
		"-p", fmt.Sprintf("127.0.0.1:%d:8080", port))
	s.must(t, "exec", box, "/bin/sh", "-c", "until grep -q ':1F90 .* 0A ' /proc/net/tcp /proc/net/tcp6; do :; done")
	conn, err := new(net.Dialer).DialContext(s.context(t), "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatalf("connecting to the published port: %v", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(s.deadline())); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /index.html HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatalf("asking the server: %v", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if res.StatusCode != http.StatusOK || line != "hello\n" {
		t.Errorf("status %d, page %q, %v", res.StatusCode, line, err)
	}
	if got := s.must(t, "port", box, "8080"); got != fmt.Sprintf("127.0.0.1:%d", port) {
		t.Errorf("nerdctl port says %q", got)
	}
}

func takenPort(t *testing.T, s *suite) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	box := s.name(t)
	code, _, stderr := s.nerdctl(t, "run", "-d", "--name", box, "-p", "127.0.0.1:"+port+":8080", s.Image, "/bin/sh", "-c", "sleep 600")
	if code == 0 || !strings.Contains(stderr, port) {
		t.Errorf("a taken port: exit code %d, stderr %q; want an error that names it", code, stderr)
	}
	if up := s.must(t, "ps", "-q", "--filter", "name="+box); up != "" {
		t.Errorf("the container %s runs without its port", up)
	}
}

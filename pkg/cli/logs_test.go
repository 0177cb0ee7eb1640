package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

func TestAConsoleOnATerminalSteersNothing(t *testing.T) {
	const said = "\x1b[0;32m  OK  \x1b[0m started\r\n\x1b]0;title\x07\x1b[2J\n"
	var terminal, file bytes.Buffer
	for _, w := range []*lineWriter{{w: &terminal, terminal: true}, {w: &file}} {
		if _, err := w.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := terminal.String(), "  OK   started\n"+`\x1b]0;title\x07\x1b[2J`+"\n"; got != want {
		t.Errorf("a terminal gets %q, want %q", got, want)
	}
	if got := file.String(); got != said {
		t.Errorf("a file gets %q", got)
	}
}

func TestALineWithoutEndIsNotHeld(t *testing.T) {
	var out bytes.Buffer
	w := &lineWriter{w: &out, prefix: "a | "}
	for range 100 {
		if _, err := w.Write(bytes.Repeat([]byte("x"), 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.rest) > lineMost || out.Len() < 900_000 {
		t.Errorf("%d bytes are held, and %d were written", len(w.rest), out.Len())
	}
}

func TestALogIsShownFromItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("a line of a log\n", 3<<20)), 0o600); err != nil { // 48 MiB
		t.Fatal(err)
	}
	for tail, want := range map[int]int{-1: logMost + 100, 0: 0, 3: 48, 1 << 30: tailMost} {
		var out bytes.Buffer
		r := &logReader{log: guest.Log{Path: path}, out: &out}
		if err := r.first(tail); err != nil {
			t.Fatal(err)
		}
		if got := out.Len(); got > want || got < want-200 {
			t.Errorf("-n %d shows %d bytes, want about %d", tail, got, want)
		}
		if said := strings.HasPrefix(out.String(), "[the last 32 MiB of "+path+"]\n"); said != (tail < 0) {
			t.Errorf("-n %d begins with %.60q", tail, out.String())
		}
		if r.offset != 48<<20 {
			t.Errorf("-n %d goes on at %d", tail, r.offset)
		}
	}
}

func TestStatusListsPublishedPorts(t *testing.T) {
	var out bytes.Buffer
	err := printPorts(&out, []guest.Port{
		{Owner: "0123456789abcdef/bridge/eth0", Protocol: "tcp", Host: "0.0.0.0:8080", Target: "10.4.0.2:80"},
		{Owner: "fedcba9876543210/bridge/eth0\x1b", Protocol: "udp", Host: "127.0.0.1:53", Target: "10.4.0.3:53", Error: "publishing port 53: no"},
	}, false)
	want := "PORT\tTO\tCONTAINER\tSTATE\n0.0.0.0:8080/tcp\t10.4.0.2:80\t0123456789ab\topen\n127.0.0.1:53/udp\t10.4.0.3:53\tfedcba987654\tpublishing port 53: no\n"
	if got := strings.TrimPrefix(out.String(), "\n"); err != nil || got != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

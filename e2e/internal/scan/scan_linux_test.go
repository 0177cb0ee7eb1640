//go:build e2e

package scan

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A planted secret is found in every form in which a program may write it down.
func TestFindsASecretInEveryForm(t *testing.T) {
	m := NewMarker()
	secret := "x\"<" + string(m) + ">\n# tail "
	quoted, err := json.Marshal(map[string][]string{"env": {"TOKEN=" + secret}})
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, secret)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	planted := map[string][]byte{
		"plain": []byte(secret),
		"log":   []byte("time=now level=debug msg=\"running\" env=\"TOKEN=" + secret + "\"\n"),
		"json":  quoted,
		"quote": fmt.Appendf(nil, "%q", secret),
		"hex":   []byte(hex.EncodeToString([]byte(secret))),
		"HEX":   fmt.Appendf(nil, "%X", secret),
		"gzip":  packed.Bytes(),
		"piece": []byte("a" + string(m)),
		// Across the end of a piece that is read at once, and far into a file.
		"border": append(bytes.Repeat([]byte{0}, 1<<20-5), secret...),
		"far":    append(bytes.Repeat([]byte{'z'}, 5<<20), secret...),
	}
	for shift := range 3 {
		text := strings.Repeat("s", shift) + secret
		planted[fmt.Sprint("base64-", shift)] = []byte(base64.StdEncoding.EncodeToString([]byte(text)))
		planted[fmt.Sprint("base64url-", shift)] = []byte(base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	dir := t.TempDir()
	for name, text := range planted {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "file"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "clean"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	hits, read, err := Files{Roots: []string{dir, "/nowhere"}, Since: time.Now().Add(-time.Minute)}.Find(m)
	if err != nil {
		t.Fatal(err)
	}
	if read != len(planted)+1 {
		t.Errorf("read %d files, want %d", read, len(planted)+1)
	}
	found := map[string]bool{}
	for _, h := range hits {
		found[filepath.Base(filepath.Dir(h.Where))] = true
	}
	for name := range planted {
		if !found[name] {
			t.Errorf("%s: not found", name)
		}
	}
	if len(found) != len(planted) {
		t.Errorf("found it where it is not: %v", hits)
	}
	if hits, _, err := (Files{Roots: []string{dir}, Since: time.Now().Add(time.Minute)}).Find(m); err != nil || len(hits) > 0 {
		t.Errorf("files from before: %v, %v", hits, err)
	}
	if hits, _, err := (Files{Roots: []string{dir}}).Find(NewMarker()); err != nil || len(hits) > 0 {
		t.Errorf("another marker: %v, %v", hits, err)
	}
}

// A deleted file that is still open is found, and so is a running command line.
func TestFindsWhatHasNoName(t *testing.T) {
	m := NewMarker()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(string(m)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file.Name()); err != nil {
		t.Fatal(err)
	}
	cat := exec.CommandContext(t.Context(), "sh", "-c", "read line", "--token="+string(m))
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	hits, err := Running(m)
	if err != nil || len(hits) != 2 {
		t.Errorf("found %v, %v; want a file and a process", hits, err)
	}
	in.Close()
	_ = cat.Wait() // no line to read
}

// No process is too short-lived to be seen, nor does it help to leave the family: each of
// many programs that end at once is found, behind shells, in the background and in a
// session of its own.
func TestSeesEveryShortLivedProcess(t *testing.T) {
	m := NewMarker()
	const count = 200
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do
		/bin/true %[2]s-plain-$i
		(/bin/true %[2]s-behind-$i) &
		setsid sh -c "exec /bin/true %[2]s-session-$i" &
		i=$((i+1))
	done; wait; exit 7`, count, m)
	var x Execs

	code, err := x.Run(exec.Command("sh", "-c", script))
	if err != nil || code != 7 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	x.Drain()
	seen := map[string]bool{}
	for _, e := range x.All() {
		if len(e.Argv) == 2 && e.Argv[0] == "/bin/true" {
			seen[e.Argv[1]] = true
		}
	}
	if len(seen) != 3*count {
		t.Errorf("saw %d programs, want %d", len(seen), 3*count)
	}
	// In a session of its own setsid, sh and true hold it; the first command, as typed,
	// does not count.
	if hits := x.Find(m); len(hits) != 5*count {
		t.Errorf("found %d, want %d: %v", len(hits), 5*count, hits[:min(3, len(hits))])
	}
}

// A process that is born and executes nothing is seen too, and a thread is no process.
func TestSeesEveryBirth(t *testing.T) {
	for script, want := range map[string]int{
		":":                                 0,
		"(:)":                               1,
		"(: ) & (:) & wait":                 2,
		"x=$(echo a)":                       1,
		"/bin/true; exec true":              1,
		"setsid sh -c '(:) & :'":            2,
		"echo a | while read x; do :; done": 2,
	} {
		var x Execs
		code, err := x.Run(exec.Command("sh", "-c", script))
		x.Drain()
		if forks := x.Forks(); err != nil || code != 0 || len(forks) != want {
			t.Errorf("%s: exit code %d, %v; %d processes, want %d", script, code, err, len(forks), want)
		}
	}
	var x Execs
	cmd := exec.Command(os.Args[0], "-test.run=^TestThreads$")
	cmd.Env = append(os.Environ(), "SCAN_THREADS=1")
	if code, err := x.Run(cmd); err != nil || code != 0 || len(x.Forks()) > 0 {
		t.Errorf("threads: exit code %d, %v, processes %v", code, err, x.Forks())
	}
}

// TestThreads is a program that makes threads.
func TestThreads(t *testing.T) {
	if os.Getenv("SCAN_THREADS") == "" {
		t.Skip("of TestSeesEveryBirth")
	}
	var all, done sync.WaitGroup
	done.Add(1)
	for range 8 {
		all.Add(1)
		go func() {
			runtime.LockOSThread()
			all.Done()
			done.Wait()
		}()
	}
	all.Wait()
	done.Done()
}

// Signals and exit codes are those of the command alone.
func TestTracingChangesNothing(t *testing.T) {
	for script, want := range map[string]int{
		"exit 0":                            0,
		"kill -TERM $$":                     128 + 15,
		"trap 'exit 9' TERM; kill -TERM $$": 9,
		"sh -c 'kill -KILL $$'; exit $?":    128 + 9,
	} {
		var x Execs
		if code, err := x.Run(exec.Command("sh", "-c", script)); err != nil || code != want {
			t.Errorf("%s: exit code %d, %v; want %d", script, code, err, want)
		}
	}
	var x Execs
	if _, err := x.Run(exec.Command("/nowhere")); err == nil {
		t.Error("a program that is not there: no error")
	}
}

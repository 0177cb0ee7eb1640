//go:build e2e && linux

package native_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/guest"
)

// The first command on an empty home starts the engine and answers.
func TestFirstCommandStartsTheEngine(t *testing.T) {
	e := lab.New(t)
	r := e.Run(t, "ps")
	if r.Code != 0 || !strings.HasPrefix(r.Out, "CONTAINER ID") {
		t.Fatalf("ps: exit code %d, stdout %q, stderr %q", r.Code, r.Out, r.Err)
	}
	if !strings.Contains(r.Err, "starting containerd") {
		t.Errorf("the start was not told: %q", r.Err)
	}
	if again := e.Run(t, "ps"); again.Err != "" {
		t.Errorf("the second command had something to tell: %q", again.Err)
	}
}

// The exit code of a container is linnet's own.
func TestExitCodes(t *testing.T) {
	e := lab.Shared(t)
	image := e.Busybox(t)
	for _, code := range []string{"0", "1", "42", "125", "126", "127"} {
		r := e.Run(t, "run", "--rm", "--network=none", image, "sh", "-c", "exit "+code)
		if got := r.Code; code != itoa(got) {
			t.Errorf("exit %s: got %d (%s)", code, got, r.Err)
		}
	}
}

// What the first command happens to have open does not stay open for as long as the engine
// lives: a lock or a pipe of the user's would.
func TestEngineKeepsNoForeignFiles(t *testing.T) {
	e := lab.New(t)
	foreign, err := os.Create(filepath.Join(t.TempDir(), "foreign"))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	cmd := e.Command(t.Context(), "ps")
	for range 6 {
		cmd.ExtraFiles = append(cmd.ExtraFiles, foreign)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ps: %v\n%s", err, out)
	}
	var status guest.Status
	if err := json.Unmarshal([]byte(e.Must(t, "engine", "status", "--format", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Daemons) != 4 || status.Daemons[3].State != guest.Asleep {
		t.Fatalf("daemons: %+v", status.Daemons)
	}
	for _, d := range status.Daemons[:3] {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", d.PID))
		if len(links) == 0 {
			t.Fatalf("%s (%d) has nothing open", d.Name, d.PID)
		}
		for _, l := range links {
			if to, _ := os.Readlink(l); to == foreign.Name() {
				t.Errorf("%s has %s open", d.Name, to)
			}
		}
	}
}

// An attached run with more output than a pipe holds ends, which nerdctl's own does not
// always: see nerdctl.ApplyWorkarounds.
func TestMuchOutputDoesNotHang(t *testing.T) {
	e := lab.Shared(t)
	image := e.Busybox(t)
	r := e.Run(t, "run", "--rm", "--network=none", image, "seq", "1", "100000")
	if r.Code != 0 || len(r.Out) < 64<<10 {
		t.Errorf("exit code %d, %d bytes of output, stderr %q", r.Code, len(r.Out), r.Err)
	}
}

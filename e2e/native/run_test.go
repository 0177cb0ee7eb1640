package native_test

import (
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
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

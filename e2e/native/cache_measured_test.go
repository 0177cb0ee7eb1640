//go:build e2e && linux

package native_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// measuring is a step that fills its cache mount with so many files that counting them takes longer than a build, and one
// that adds to it.
const measuring = ` AS step
ARG ROUND
RUN --mount=type=cache,target=/m cd /m; test $ROUND != 1 || seq 1 200000 | xargs touch; echo round $ROUND >>/m/rounds; cp /m/rounds /rounds
FROM scratch
COPY --from=step /rounds /
`

// A step gets its cache mount while BuildKit measures it, as it does whenever the cache is listed and a second after a build.
func TestACacheMountThatIsMeasuredIsNotReplaced(t *testing.T) {
	if got, _ := roundsWhileMeasured(t, lab.New(t)); got != "round 1\nround 2\n" {
		t.Errorf("the mount holds %q", got)
	}
	t.Run("Unmended", func(t *testing.T) {
		e := lab.New(t)
		e.Env = append(e.Env, lab.Unmended(t, "buildkit", "cache-mount-measured"))
		if got, during := roundsWhileMeasured(t, e); during && got != "round 2\n" {
			t.Errorf("without the mend the mount holds %q, too", got)
		}
	})
}

// roundsWhileMeasured builds twice, the second time while the mount is measured, and returns what the mount has seen, and whether
// it was still being measured when the build had ended: on a busy machine it may not.
func roundsWhileMeasured(t *testing.T, e *lab.Engine) (seen string, during bool) {
	t.Helper()
	e.Env = append(e.Env, unbounded...) // so that nothing else measures
	dir, out := t.TempDir(), t.TempDir()
	put(t, dir, "Dockerfile", "FROM "+e.Busybox(t)+measuring)
	e.Must(t, "build", "-q", "--build-arg=ROUND=1", dir)
	list := e.Command(t.Context(), "cache", "ls", "-q")
	if err := list.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- list.Wait() }()
	e.Must(t, "build", "-q", "--build-arg=ROUND=2", "--output="+out, dir)
	select {
	case err := <-ended:
		ended <- err
		t.Log("the mount was measured before the build ended")
	default:
		during = true
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "rounds"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text), during
}

//go:build linux

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// fakeDocker answers what the engine asks of dockerd: which containers run, as a file beside its socket says, and whether they are
// to run on when it ends, which changes with SIGHUP.
func fakeDocker(socket string) {
	var reloads atomic.Int32
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	go func() {
		for range again {
			reloads.Add(1)
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containers/json", func(w http.ResponseWriter, _ *http.Request) {
		text, err := os.ReadFile(socket + ".containers")
		if err != nil {
			text = []byte("[]")
		}
		_, _ = w.Write(text)
	})
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"LiveRestoreEnabled": %v}`, reloads.Load() == 0)
	})
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { _ = http.Serve(listener, mux) }()
}

// newFakeDocker is Docker's API with that in dockerd's place.
func newFakeDocker(t *testing.T, idle time.Duration) *docker {
	t.Helper()
	d := onDemand(t, "docker")
	l := host.Layout{Home: strings.TrimSuffix(d.socket, "/native/run/fake.sock"), Runtime: t.TempDir()}
	k := newDocker(agent.Spec{Layout: l, DockerIdle: idle}, networks{layout: l, log: quiet(t)}, d, "", quiet(t))
	d.prepare = nil // bridges are root's
	supervise(t, d)
	return k
}

// asleep reports whether dockerd is.
func (k *docker) asleep() bool {
	state, _, _, _ := k.daemon.snapshot()
	return state == guest.Asleep
}

func TestDockerdSleepsWhenItIsIdleAndNoContainerRuns(t *testing.T) {
	k := newFakeDocker(t, 20*time.Millisecond)
	containers := k.daemon.socket + ".containers"
	if err := os.WriteFile(containers, []byte(`[{"Id": "0123"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.daemon.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if runs, err := k.runsContainers(t.Context()); err != nil || !runs {
		t.Fatalf("a container runs: %v, %v", runs, err)
	}
	if err := k.suspend(t.Context()); err != nil || k.asleep() {
		t.Errorf("with a container: asleep %v (%v)", k.asleep(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { k.watchIdle(ctx) })
	defer wg.Wait()
	defer cancel()
	if err := os.Remove(containers); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its sleep", k.asleep)
	if runsDaemon(k.daemon.argv) {
		t.Error("it runs, and is asleep")
	}
}

func TestAClientKeepsDockerdAwake(t *testing.T) {
	k := newFakeDocker(t, time.Hour)
	if err := k.daemon.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.suspend(t.Context()); err != nil || k.asleep() {
		t.Errorf("before it was idle for long enough: asleep %v (%v)", k.asleep(), err)
	}
}

func TestDockerdIsToldToTakeItsContainersAlong(t *testing.T) {
	k := newFakeDocker(t, 0)
	l := k.spec.Layout
	if err := k.takeContainers(t.Context()); err != nil {
		t.Errorf("one that does not run: %v", err)
	}
	if err := k.daemon.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.takeContainers(t.Context()); err == nil || err.Error() != "reading "+l.DockerNetwork()+": no addresses of dockerd's" {
		t.Errorf("without its network: %v", err)
	}
	text, err := json.Marshal(dockerNetwork{netip.MustParsePrefix("10.231.8.0/24"), netip.MustParsePrefix("10.231.64.0/19")})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(l.Spec()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.DockerNetwork(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.takeContainers(t.Context()); err != nil {
		t.Fatal(err)
	}
	var written map[string]any
	if !readJSON(l.Config("dockerd.json"), &written) || written["live-restore"] != false {
		t.Errorf("it is told %v", written)
	}
}

package dockerapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
)

func TestADaemonThatCannotBeStartedIsToldInDockersForm(t *testing.T) {
	starts, ticks := 0, &clock{}
	w := newWorld(t, nil, func(c *Config) {
		c.Start = func(context.Context) error {
			starts++ // one at a time
			return hint.New("another dockerd runs here", "stop it")
		}
	})
	w.setClock(ticks)
	want := `{"message":"another dockerd runs here\nhint: stop it"}` + "\n"
	for _, path := range []string{"/info", "/containers/a/attach", "/exec/a/start"} {
		status, head, text := w.askHead(t, http.MethodPost, path, nil)
		if status != http.StatusServiceUnavailable || text != want || head.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %q %v", path, status, text, head)
		}
	}
	if starts != 1 {
		t.Errorf("three requests of one moment started it %d times", starts)
	}
	ticks.Add(int64(failureHolds))
	_, _ = w.ask(t, http.MethodGet, "/info", nil)
	if starts != 2 {
		t.Errorf("a later request makes %d starts", starts)
	}
}

func TestManyFirstRequestsStartTheDaemonOnceAndNoneOfThemEndsThat(t *testing.T) {
	release, entered := make(chan bool), make(chan context.Context, 8)
	var daemon *fakeDaemon
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, func(c *Config) {
		c.Start = func(ctx context.Context) error {
			entered <- ctx
			<-release
			return daemon.start(ctx)
		}
	})
	daemon = w.daemon
	first := w.dial(t)
	_, _ = io.WriteString(first, "GET /info HTTP/1.1\r\nHost: docker\r\n\r\n")
	starting := <-entered
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if status, text := w.ask(t, http.MethodGet, "/info", nil); status != http.StatusOK || text != "ok" {
				t.Errorf("%d %q", status, text)
			}
		})
	}
	w.inFlightIs(t, 31)
	first.Close()
	w.inFlightIs(t, 30)
	if starting.Err() != nil {
		t.Error("a client that went away has ended the start")
	}
	close(release)
	all.Wait()
	if len(entered) != 0 || daemon.started() != 1 {
		t.Errorf("%d starts more than one", len(entered))
	}
}

func TestADaemonThatHasEndedIsStartedAgain(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }, nil)
	for want := 1; want <= 3; want++ {
		for range 2 {
			if status, text := w.ask(t, http.MethodPost, "/x", io.MultiReader(strings.NewReader("a body"))); status != http.StatusOK || text != "a body" {
				t.Errorf("%d %q", status, text)
			}
		}
		if w.daemon.started() != want {
			t.Errorf("%d starts, want %d", w.daemon.started(), want)
		}
		w.daemon.stop()
	}
}

func TestADaemonThatWasJustStoppingIsStartedOnceMore(t *testing.T) {
	var daemon *fakeDaemon
	says := 0 // how often Start says that it runs, without doing anything
	calls := 0
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, func(c *Config) {
		c.Start = func(ctx context.Context) error {
			calls++
			if says--; says >= 0 {
				return nil
			}
			return daemon.start(ctx)
		}
	})
	daemon = w.daemon
	says = 1
	if status, text := w.ask(t, http.MethodGet, "/x", nil); status != http.StatusOK || text != "ok" || calls != 2 {
		t.Errorf("%d %q after %d calls", status, text, calls)
	}
	daemon.stop()
	says, calls = 100, 0
	status, text := w.ask(t, http.MethodGet, "/x", nil)
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "connect: no such file or directory") || calls != 1 {
		t.Errorf("%d %q after %d calls", status, text, calls)
	}
}

func TestARequestThatComesWhileTheDaemonIsStoppedWaitsAndStartsIt(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, nil)
	w.ask(t, http.MethodGet, "/x", nil)
	w.inFlightIs(t, 0)
	answered := make(chan bool)
	failed := errors.New("it was slow")
	called, err := w.Suspend(t.Context(), 0, func(context.Context) error {
		go func() {
			defer close(answered)
			if status, text := w.ask(t, http.MethodGet, "/x", nil); status != http.StatusOK || text != "ok" {
				t.Errorf("%d %q", status, text)
			}
		}()
		w.inFlightIs(t, 1)
		if again, _ := w.Suspend(t.Context(), 0, nil); again {
			t.Error("it is stopped twice at once")
		}
		w.daemon.stop()
		return failed
	})
	if !called || !errors.Is(err, failed) {
		t.Errorf("%v, %v", called, err)
	}
	<-answered
	if w.daemon.started() != 2 {
		t.Errorf("%d starts", w.daemon.started())
	}
}

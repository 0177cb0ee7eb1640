package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/deps"
)

// hang makes the next build stop half-way and returns how to wait until it has.
func (h *house) hang() (reached func()) {
	h.t.Helper()
	socket := filepath.Join(h.state, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		h.t.Fatal(err)
	}
	h.set("hang", socket)
	var conns []net.Conn
	h.t.Cleanup(func() {
		l.Close()
		for _, c := range conns {
			c.Close() // ends a fake Go whose parent was killed
		}
	})
	return func() {
		h.t.Helper()
		conn, err := l.Accept()
		if err != nil {
			h.t.Fatal(err)
		}
		conns = append(conns, conn)
		if _, err := conn.Read(make([]byte, 1)); err != nil { // half the program is on disk now
			h.t.Fatal(err)
		}
	}
}

func TestInterruptedBuildLeavesNothing(t *testing.T) {
	h := newHouse(t)
	reached := h.hang()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		reached()
		cancel()
	}()
	err := h.b.install(ctx, []deps.Component{h.one})
	if err == nil || err.Error() != "one: building bin/a: interrupted" {
		t.Errorf("interrupted: %v", err)
	}
	h.want("cache", tree(t, h.b.cache), nil)
	h.want("prefix", tree(t, h.b.prefix), nil)
	h.unset("hang")
	h.builds()
	h.want("the run after", h.install(), everything)
}

// errand is what a builder in a process of its own has to do.
type errand struct {
	Modules, Prefix, Cache, Go string
	Component                  deps.Component
}

// fakeBuild is this command on an errand.
func fakeBuild(text string) int {
	var e errand
	if err := errors.Join(json.Unmarshal([]byte(text), &e), os.Unsetenv(fakeBuildEnv)); err != nil {
		return answer(err)
	}
	b := &builder{modules: e.Modules, prefix: e.Prefix, cache: e.Cache, goos: "linux", goarch: runtime.GOARCH, goCommand: e.Go, log: os.Stderr}
	return answer(b.install(context.Background(), []deps.Component{e.Component}))
}

// process is this command for component one, as a process of its own that is not yet started.
func (h *house) process() *exec.Cmd {
	h.t.Helper()
	text, err := json.Marshal(errand{h.b.modules, h.b.prefix, h.b.cache, h.b.goCommand, h.one})
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.CommandContext(h.t.Context(), h.b.goCommand)
	cmd.Env = append(os.Environ(), fakeBuildEnv+"="+string(text))
	return cmd
}

func TestKilledBuildIsSweptByTheNext(t *testing.T) {
	h := newHouse(t)
	reached := h.hang()
	cmd := h.process()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reached()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the killed process ended well")
	}
	half := tree(t, h.b.cache)
	if len(half) != 1 || !strings.HasPrefix(half[0], tempPrefix+"one-") {
		t.Fatalf("a killed build leaves %q, want half a program in a temporary directory", half)
	}
	h.want("prefix", tree(t, h.b.prefix), nil)
	h.unset("hang")
	h.builds()
	h.want("the run after", h.install(), everything)
	for _, name := range tree(t, h.b.cache) {
		if strings.HasPrefix(name, tempPrefix) {
			t.Errorf("%s was not swept", name)
		}
	}
}

func TestTwoRunsAtOnceBuildOnce(t *testing.T) {
	h := newHouse(t)
	var runs []*exec.Cmd
	for range 4 {
		cmd := h.process()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, cmd)
	}
	for _, cmd := range runs {
		if err := cmd.Wait(); err != nil {
			t.Errorf("a run at the same time: %v", err)
		}
	}
	h.want("all runs together", h.builds(), oneBuilds)
}

func TestWaitingForTheCacheCanBeInterrupted(t *testing.T) {
	h := newHouse(t)
	unlock, err := lockCache(t.Context(), h.b.cache, func() { t.Error("a free cache was waited for") })
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := lockCache(ctx, h.b.cache, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

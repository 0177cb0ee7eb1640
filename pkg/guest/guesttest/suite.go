// Package guesttest is the contract of guest.Guest as one test suite, and the means to run
// it: whatever passes Suite can stand under forward, build and compose.
//
// It exists because the code above the seam is only as portable as its guests are alike,
// and prose does not hold them together. It must not know any implementation but its own
// Fake: what a guest needs in order to be tested is said by a Target. Nothing here sleeps or
// retries: the cases wait for a state, with a deadline that Target.Slow stretches.
package guesttest

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// Target is a kind of guest, and what there is to test it with.
type Target struct {
	// New makes the guest, once per Suite. What it started it ends with t.Cleanup.
	New func(t *testing.T) guest.Guest
	// Shell is a POSIX shell in the guest that takes -c; empty means /bin/sh. Beside it
	// there must be the usual small programs, be it as busybox: cat, env, head, sha256sum,
	// sleep, stat, stty, wc.
	Shell []string

	// Engine says that containerd and BuildKit answer on their sockets.
	Engine bool
	// Image, when set, is an image in the engine's store with busybox in /bin and no
	// entrypoint: the suite then also runs containers with nerdctl.
	Image string

	// ShareDir is a directory of this machine that the guest sees and may write to.
	ShareDir string
	// HiddenDir is one that it does not see; empty means that it sees everything.
	HiddenDir string
	// ReadOnlyDir is one that it sees but cannot write to; empty means that there is none.
	ReadOnlyDir string

	// Slow stretches every deadline, 10 for emulation, say; 0 means 1.
	Slow float64
}

// A testCase is one clause of the contract.
type testCase struct {
	name string
	run  func(t *testing.T, s *suite)
}

// suite is what the cases of one run share.
type suite struct {
	Target
	guest guest.Guest
	// wrap, when set, turns a process into one inside a container.
	wrap func(t *testing.T, p guest.Process) guest.Process
}

// Suite tests that the guest of target keeps the contract: one subtest for each clause.
func Suite(t *testing.T, target Target) {
	if len(target.Shell) == 0 {
		target.Shell = []string{"/bin/sh"}
	}
	if target.Slow == 0 {
		target.Slow = 1
	}
	if target.ShareDir == "" {
		t.Fatal("Target.ShareDir is not set")
	}
	noticeSignals(t)
	s := &suite{Target: target, guest: target.New(t)}
	if err := s.guest.Ready(s.context(t)); err != nil {
		t.Fatalf("getting the guest ready: %v", err)
	}
	for _, group := range [][]testCase{readyCases, processCases, streamCases, terminalCases, endCases, stageCases, pathCases, serviceCases} {
		s.runAll(t, group)
	}
	if target.Image != "" {
		t.Run("Containers", func(t *testing.T) { s.containers(t) })
	}
}

func (s *suite) runAll(t *testing.T, cases []testCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// deadline is how long any one step may take.
func (s *suite) deadline() time.Duration {
	return time.Duration(float64(60*time.Second) * s.Slow)
}

// noticeSignals makes sure that signals which this process was started to ignore (by nohup,
// or in the background of a script) are not ignored by the processes that it starts: those
// that have a handler here begin with the default in the guest.
func noticeSignals(t *testing.T) {
	t.Helper()
	unread := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(unread, sig)
		}
	}
	t.Cleanup(func() { signal.Stop(unread) })
}

var readyCases = []testCase{
	{"ReadyAgain", func(t *testing.T, s *suite) {
		begin := time.Now()
		for range 3 {
			if err := s.guest.Ready(s.context(t)); err != nil {
				t.Fatalf("getting a ready guest ready: %v", err)
			}
		}
		// InGuest above what it costs, far below what making a guest ready costs.
		if took, limit := time.Since(begin), s.deadline()/20; took > limit {
			t.Errorf("three times Ready took %v, over %v", took, limit)
		}
		if code, out, _ := s.run(t, s.sh("echo fine")); code != 0 || out != "fine\n" {
			t.Errorf("afterwards: exit code %d, output %q", code, out)
		}
	}},
}

//go:build linux

package engine

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// onDemand is a daemon that sleeps until it is wanted.
func onDemand(t *testing.T, kind string) *daemon {
	t.Helper()
	d := newFake(t, kind)
	d.onDemand, d.awake, d.state = true, false, guest.Asleep
	return d
}

func TestADaemonOnDemandRunsWhileItIsWanted(t *testing.T) {
	d := onDemand(t, "good")
	end := supervise(t, d)
	if state, pid, _, _ := d.snapshot(); state != guest.Asleep || pid != 0 || runsDaemon(d.argv) {
		t.Fatalf("before anybody wants it: %s, process %d", state, pid)
	}
	var first int
	for round := range 2 {
		if err := d.ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		state, pid, restarts, _ := d.snapshot()
		if state != "running" || restarts != 0 || pid == first {
			t.Errorf("round %d: %s, %d restarts, process %d again", round, state, restarts, pid)
		}
		first = pid
		if err := d.sleep(time.Second); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its sleep", func() bool { state, _, _, _ := d.snapshot(); return state == guest.Asleep })
		if runsDaemon(d.argv) {
			t.Error("it runs, and is asleep")
		}
	}
	end()
}

func TestADaemonOnDemandIsStartedAgainWhenItDies(t *testing.T) {
	d := onDemand(t, "good")
	supervise(t, d)
	if err := d.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, first, _, _ := d.snapshot()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another", func() bool {
		state, pid, restarts, _ := d.snapshot()
		return state == "running" && pid != first && restarts == 1
	})
}

func TestADaemonOnDemandThatRunsIsAdopted(t *testing.T) {
	d := onDemand(t, "good")
	end := supervise(t, d)
	if err := d.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, first, _, _ := d.snapshot()
	end()
	d.set(func() { d.awake, d.state = false, guest.Asleep }) // as the next agent finds it
	supervise(t, d)
	eventually(t, "the adoption", func() bool {
		state, pid, _, adopted := d.snapshot()
		return state == "running" && pid == first && adopted
	})
}

func TestAClientThatComesWhileADaemonIsPutToSleepGetsAnother(t *testing.T) {
	d := onDemand(t, "good")
	supervise(t, d)
	if err := d.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, first, _, _ := d.snapshot()
	d.set(func() { d.awake, d.sleeping, d.state = false, true, "stopping" }) // as sleep begins
	d.wake()
	if err := d.end(time.Second); err != nil {
		t.Fatal(err)
	}
	if err := d.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if state, pid, restarts, _ := d.snapshot(); state != "running" || pid == first || restarts != 0 {
		t.Errorf("%s, process %d after %d, %d restarts", state, pid, first, restarts)
	}
}

func TestADaemonOnDemandThatCannotRunSaysWhyAndSleeps(t *testing.T) {
	d := onDemand(t, "good")
	refusal := hint.New("starting fake: another one runs", "stop it")
	d.prepare = func(context.Context) error { return refusal }
	supervise(t, d)
	for range 2 { // each client has it tried again
		if err := d.ready(t.Context()); !errors.Is(err, refusal) {
			t.Errorf("refused: %v", err)
		}
		if state, _, restarts, _ := d.snapshot(); state != guest.Asleep || restarts != 0 {
			t.Errorf("refused: %s, %d restarts", state, restarts)
		}
	}
	refusal = nil
	d.prepare = nil
	if err := d.ready(t.Context()); err != nil {
		t.Errorf("once it can: %v", err)
	}
}

func TestADaemonOnDemandThatDoesNotStayUpIsNotTriedForEver(t *testing.T) {
	d := onDemand(t, "dies")
	supervise(t, d)
	want := "starting the engine: fake does not stay up: exit status 3"
	if err := d.ready(t.Context()); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	eventually(t, "its sleep", func() bool { state, _, _, _ := d.snapshot(); return state == guest.Asleep })
}

package lima

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/vm"
	"github.com/linnet-dev/linnet/pkg/vm/vmtest"
)

// A client that is killed in a creation leaves a machine that has everything but its mark.
func TestACreationThatWasKilledIsSeenAndMadeAnew(t *testing.T) {
	m := newMachine(t)
	m.want.Config = vmtest.Config(m.want.Shape, "")
	m.check(t, m.fake.Put("stopped", vm.Draft(m.want.Config), 100<<30, "free"))
	seen, err := m.Observe(t.Context())
	if err != nil || seen.Status != vm.Incomplete {
		t.Fatalf("it is seen as %s (%v)", seen.Status, err)
	}
	if err := vm.Ensure(t.Context(), m, vm.Initialised, nil); err != nil {
		t.Fatal(err)
	}
	if shape, ok := ReadShape(m.o.Layout); !ok || shape.Image != "one" {
		t.Errorf("it has become %+v", shape)
	}
	given, err := os.ReadFile(m.o.Layout.VMConfig())
	if _, whole := vm.ParseShape(string(given)); err != nil || whole {
		t.Errorf("limactl was given a configuration with the mark of a whole machine (%v):\n%s", err, given)
	}
}

// One that is interrupted while it starts lets the machine come up; the next one waits for it
// and starts nothing.
func TestAStartThatIsInterruptedGoesOn(t *testing.T) {
	m := newMachine(t)
	m.want.Config = vmtest.Config(m.want.Shape, "")
	m.check(t, m.fake.Hold())
	ctx, cancel := context.WithCancel(t.Context())
	m.o.Launched = func(ctx context.Context) error {
		return until(ctx, func() bool { return Processes(m.o.Layout).Driver })
	}
	m.o.Wait = func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }
	if err := vm.Ensure(ctx, m, vm.Started, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	seen, err := m.Observe(t.Context())
	if err != nil || seen.Status != vm.Starting {
		t.Fatalf("it is seen as %s (%v)", seen.Status, err)
	}
	m.o.Wait = func(ctx context.Context) error {
		_ = m.fake.Release() // once
		return until(ctx, m.fake.Answers)
	}
	if err := vm.Ensure(t.Context(), m, vm.Started, nil); err != nil {
		t.Fatal(err)
	}
	starts := 0
	for _, c := range m.calls(t) {
		if strings.HasPrefix(c, "start") {
			starts++
		}
	}
	if starts != 1 {
		t.Errorf("%d starts", starts)
	}
	if err := until(t.Context(), func() bool { return !Processes(m.o.Layout).Starting }); err != nil {
		t.Error(err)
	}
}

// A machine that ends while it is waited for is not waited for any longer.
func TestAMachineThatDiesWhileItIsWaitedForIsTold(t *testing.T) {
	m := newMachine(t)
	m.want.Config = vmtest.Config(m.want.Shape, "")
	m.check(t, m.fake.Put("running", m.want.Config, 100<<30, "locked"))
	m.o.Wait = func(ctx context.Context) error {
		if err := os.Remove(filepath.Join(m.o.Layout.LimaInstance(), "qemu.pid")); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	err := vm.Ensure(t.Context(), m, vm.Started, nil)
	if got := told(err); got != "waiting for the virtual machine: limactl start ended, and said nothing; the log says more: "+m.o.Layout.VMLog("limactl-start") {
		t.Errorf("it is told: %s", got)
	}
}

// A command that waits for the agent hears of a machine that is gone before anybody has looked: what
// is told is why, not that.
func TestWhyAMachineIsGoneIsToldBeforeThatItIsGone(t *testing.T) {
	m := newMachine(t)
	m.want.Config = vmtest.Config(m.want.Shape, "")
	m.check(t, m.fake.Put("stopped", m.want.Config, 100<<30, "free"))
	m.check(t, m.fake.Fail("start", "qemu"))
	missed := func(ctx context.Context) error {
		return errors.Join(until(ctx, func() bool { return !Processes(m.o.Layout).Starting }), errors.New("the relay has ended"))
	}
	const want = "starting the virtual machine: limactl start: qemu-system-x86_64: -device nosuch: 'nosuch' is not a valid device model name"
	for _, set := range []func(){func() { m.o.Launched = missed }, func() { m.o.Launched, m.o.Wait = nil, missed }} {
		set()
		if err := vm.Ensure(t.Context(), m, vm.Started, nil); err == nil || err.Error() != want {
			t.Errorf("it is told: %v", err)
		}
	}
}

// A command that has to wait for another command's work on the machine is told so.
func TestWaitingForAnotherCommandIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	m := newMachine(t)
	m.want.Config = vmtest.Config(m.want.Shape, "")
	release, err := m.Lock(t.Context())
	m.check(t, err)
	var shown lockedBuffer
	m.o.Report = report.New(report.Options{Err: &shown, Format: report.Plain})
	done := make(chan error, 1)
	go func() { done <- vm.Ensure(t.Context(), m, vm.Initialised, m.o.Report) }()
	m.check(t, until(t.Context(), func() bool {
		return strings.Contains(shown.String(), "waiting for another command that changes the virtual machine\n")
	}))
	release()
	m.check(t, <-done)
	if text := shown.String(); !strings.Contains(text, "waiting for another command that changes the virtual machine: done") {
		t.Errorf("it is told:\n%s", text)
	}
}

// lockedBuffer is written to by one and read by another.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestAnAgentThatNeverAnswersIsTold(t *testing.T) {
	m := newMachine(t)
	m.want.Config = vmtest.Config(m.want.Shape, "")
	m.check(t, m.fake.Put("running", m.want.Config, 100<<30, "locked"))
	m.o.Wait = func(context.Context) error { return context.DeadlineExceeded }
	err := vm.Ensure(t.Context(), m, vm.Started, nil)
	want := "waiting for the virtual machine: its agent has not answered for 10m0s; `linnet engine restart` starts it anew; its console says what it is at: " +
		m.o.Layout.LimaInstance() + "/serial*.log"
	if got := told(err); got != want {
		t.Errorf("it is told: %s", got)
	}
	if !Processes(m.o.Layout).Driver {
		t.Error("it was ended")
	}
}

// Thirty-two clients at once, each with its own Machine as each process has: one start.
func TestThirtyTwoClientsStartOneMachine(t *testing.T) {
	first := newMachine(t)
	first.want.Config = vmtest.Config(first.want.Shape, "")
	done := make(chan error)
	for range 32 {
		go func() {
			m := machine{New(first.o), first.fake, first.want, nil}
			done <- vm.Ensure(t.Context(), m, vm.Started, nil)
		}()
	}
	for range 32 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	var kinds []string
	for _, c := range first.calls(t) {
		kinds = append(kinds, strings.Fields(c)[0])
	}
	if want := []string{"disk", "create", "start"}; !slices.Equal(kinds, want) {
		t.Errorf("limactl was told: %q", kinds)
	}
}

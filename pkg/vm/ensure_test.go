package vm_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/vm"
	"github.com/linnet-dev/linnet/pkg/vm/vmtest"
)

// model is a machine that does what it is told and remembers it.
type model struct {
	mu   sync.Mutex // the start lock
	want vm.Spec
	have vm.State
	did  []string
	// looked counts how often it was observed.
	looked int
	// fail makes a kind of step fail after it was half done.
	fail map[vm.Kind]error
	// during is called within a step.
	during func(vm.Kind)
}

func (m *model) Lock(context.Context) (func(), error)          { m.mu.Lock(); return m.mu.Unlock, nil }
func (m *model) Answers(context.Context) bool                  { return m.have.Answers }
func (m *model) Want(context.Context) (vm.Spec, error)         { return m.want, nil }
func (m *model) Observe(context.Context) (s vm.State, _ error) { m.looked++; return m.have, nil }

func (m *model) Do(ctx context.Context, want vm.Spec, step vm.Step, note func(string)) error {
	m.did = append(m.did, step.Name())
	if m.during != nil {
		m.during(step.Kind)
	}
	note("half of it")
	err := m.fail[step.Kind]
	if err == nil {
		err = ctx.Err()
	}
	m.apply(want, step, err != nil)
	return err
}

func (m *model) apply(want vm.Spec, step vm.Step, failed bool) {
	s := &m.have
	halt := func() { s.Status, s.Answers, s.DiskUser, s.Live = vm.Halted, false, "", false }
	switch step.Kind {
	case vm.Tidy:
		s.Leftovers = slices.DeleteFunc(s.Leftovers, func(path string) bool { return path == step.Arg })
	case vm.EndStart:
		s.Status = vm.Running
	case vm.Stop, vm.PowerOff, vm.Kill:
		halt()
	case vm.Delete, vm.RemoveTorn:
		s.Status, s.Answers, s.Live = vm.Absent, false, false
	case vm.DeleteDisk, vm.RemoveTornDisk:
		s.Disk, s.DiskUser = vm.NoDisk, ""
	case vm.RemoveFiles:
		s.Files, s.Leftovers = false, nil
	case vm.CreateDisk:
		s.Disk, s.DiskSize, s.Files = vm.Disk, want.DataDisk, true
		if failed {
			s.Disk = vm.TornDisk
		}
	case vm.Fetch:
		if !failed {
			s.ImageFrom = ""
		}
	case vm.UnlockDisk:
		s.DiskUser = ""
	case vm.GrowDisk:
		s.DiskSize = want.DataDisk
	case vm.Create:
		s.Status, s.Shape, s.Config = vm.Halted, want.Shape, want.Config
		if failed {
			s.Status = vm.Incomplete
		}
	case vm.Configure:
		s.Shape, s.Config = want.Shape, want.Config
	case vm.Start, vm.Wait:
		s.Status, s.Answers, s.DiskUser = vm.Running, true, "default"
	}
}

func TestAfterAPlanNothingIsLeftToDo(t *testing.T) {
	for _, c := range vmtest.Load(t, "testdata/plan") {
		t.Run(c.Name, func(t *testing.T) {
			m := &model{want: c.Want, have: c.Have}
			plan := vm.Compare(c.Want, c.Have, c.Goal)
			err := vm.Ensure(t.Context(), m, c.Goal, nil)
			if plan.Refused != nil {
				if err == nil || err.Error() != plan.Refused.Reason || len(m.did) > 0 {
					t.Errorf("a refused plan: %v, after %q", err, m.did)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			goal := c.Goal
			if goal == vm.Restarted {
				goal = vm.Started
			}
			if again := vm.Compare(c.Want, m.have, goal); !again.Empty() {
				t.Errorf("still to do:\n%s", again)
			}
		})
	}
}

func TestOfManyAtOnceOneStarts(t *testing.T) {
	m := &model{want: vmtest.Base(), have: vm.State{Status: vm.Absent, Disk: vm.NoDisk}}
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if err := vm.Ensure(t.Context(), m, vm.Started, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if want := []string{"creating the data disk (100GiB)", "creating the virtual machine", "starting the virtual machine"}; !slices.Equal(m.did, want) {
		t.Errorf("done: %q", m.did)
	}
	if m.looked != 1 {
		t.Errorf("%d of them looked at all there is, when the agent answered already", m.looked)
	}
}

// Whatever fails, the error names the step, keeps its cause, and what a creation has made is
// taken back.
func TestACreationThatFailsUndoesItself(t *testing.T) {
	broken := errors.New("it is broken")
	for _, c := range []struct {
		fail vm.Kind
		did  []string
		left vm.State
	}{
		{
			vm.CreateDisk,
			[]string{"creating the data disk (100GiB)", "removing a half-made data disk"},
			vm.State{Status: vm.Absent, Disk: vm.NoDisk},
		},
		{
			vm.Create,
			[]string{"creating the data disk (100GiB)", "creating the virtual machine", "removing a half-made instance", "removing the data disk"},
			vm.State{Status: vm.Absent, Disk: vm.NoDisk},
		},
		{
			vm.Start,
			[]string{"creating the data disk (100GiB)", "creating the virtual machine", "starting the virtual machine"},
			vm.State{Status: vm.Running, Disk: vm.Disk},
		},
	} {
		t.Run(string(c.fail), func(t *testing.T) {
			m := &model{want: vmtest.Base(), have: vm.State{Status: vm.Absent, Disk: vm.NoDisk}, fail: map[vm.Kind]error{c.fail: broken}}
			var shown bytes.Buffer
			err := vm.Ensure(t.Context(), m, vm.Started, report.New(report.Options{Err: &shown, Format: report.Plain}))
			failed := c.did[slices.IndexFunc(c.did, func(s string) bool { return strings.HasPrefix(s, vm.Step{Kind: c.fail}.Name()) })]
			if !errors.Is(err, broken) || err.Error() != failed+": it is broken" {
				t.Errorf("the error is %v", err)
			}
			if !slices.Equal(m.did, c.did) || m.have.Status != c.left.Status || m.have.Disk != c.left.Disk {
				t.Errorf("done: %q, and left %+v", m.did, m.have)
			}
			if !strings.Contains(shown.String(), failed) {
				t.Errorf("shown: %q", shown.String())
			}
		})
	}
}

// What depends on the image is found out when it is there, and a step tells what it is at.
func TestAfterAFetchItIsLookedAtAgain(t *testing.T) {
	m := &model{want: vmtest.Base(), have: vm.State{Status: vm.Absent, Disk: vm.NoDisk, ImageFrom: "there"}}
	m.during = func(kind vm.Kind) {
		if kind == vm.Fetch {
			m.want.DataDisk = 1 << 30
		}
	}
	var shown bytes.Buffer
	if err := vm.Ensure(t.Context(), m, vm.Initialised, report.New(report.Options{Err: &shown, Format: report.Plain})); err != nil {
		t.Fatal(err)
	}
	if want := []string{"fetching the virtual machine's image (there)", "creating the data disk (1GiB)", "creating the virtual machine"}; !slices.Equal(m.did, want) || m.looked != 2 {
		t.Errorf("done: %q, looked %d times", m.did, m.looked)
	}
	if !strings.Contains(shown.String(), "fetching the virtual machine's image (there): half of it\n") {
		t.Errorf("shown: %s", shown.String())
	}
}

// A fetch that fails has removed nothing.
func TestAFetchThatFailsLeavesTheMachine(t *testing.T) {
	m := &model{want: vmtest.Base(), fail: map[vm.Kind]error{vm.Fetch: errors.New("no network")}}
	m.have = vm.State{Status: vm.Halted, Shape: vmtest.Base().Shape, Disk: vm.Disk, DiskSize: 100 << 30, ImageFrom: "there"}
	m.want.Image = "two"
	err := vm.Ensure(t.Context(), m, vm.Started, nil)
	if err == nil || err.Error() != "fetching the virtual machine's image (there): no network" || m.have.Status != vm.Halted {
		t.Errorf("%v, after %q", err, m.did)
	}
}

func TestADataDiskThatWasThereIsNeverTakenBack(t *testing.T) {
	m := &model{want: vmtest.Base(), fail: map[vm.Kind]error{vm.Create: errors.New("no")}}
	m.have = vm.State{Status: vm.Absent, Disk: vm.Disk, DiskSize: 1 << 30, DiskUser: "default"}
	if err := vm.Ensure(t.Context(), m, vm.Started, nil); err == nil {
		t.Error("no error")
	}
	if m.have.Disk != vm.Disk {
		t.Errorf("done: %q", m.did)
	}
}

func TestACancelledCreationUndoesItself(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := &model{want: vmtest.Base(), have: vm.State{Status: vm.Absent, Disk: vm.NoDisk}}
	m.during = func(kind vm.Kind) {
		if kind == vm.Create {
			cancel()
		}
	}
	if err := vm.Ensure(ctx, m, vm.Started, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if m.have.Status != vm.Absent || m.have.Disk != vm.NoDisk {
		t.Errorf("done: %q, and left %+v", m.did, m.have)
	}
}

func TestAShapeIsKeptInItsConfiguration(t *testing.T) {
	want := vmtest.Base().Shape
	config := "# first\n" + want.Header() + "cpus: 2\n"
	got, ok := vm.ParseShape(config)
	if !ok || got.Header() != want.Header() {
		t.Errorf("got %+v", got)
	}
	if draft := vm.Draft(config); draft != "# first\ncpus: 2\n" {
		t.Errorf("the draft is %q", draft)
	}
	for _, other := range []string{"", vm.Draft(config), "# linnet: {", "# linnet: {}\n"} {
		if got, ok := vm.ParseShape(other); ok {
			t.Errorf("%q has the shape %+v", other, got)
		}
	}
}

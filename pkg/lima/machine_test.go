package lima

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/lima/limatest"
	"github.com/linnet-dev/linnet/pkg/vm"
	"github.com/linnet-dev/linnet/pkg/vm/vmtest"
)

// The test binary is also the limactl that the machine asks.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"limactl": func() { os.Exit(limatest.Main()) }})
}

// machine is a Machine on a fake limactl that wants what a test says.
type machine struct {
	*Machine
	fake   limatest.Fake
	want   vm.Spec
	warned *[]string
}

func (m machine) Want(context.Context) (vm.Spec, error) { return m.want, nil }

// newMachine makes one in a directory whose path is short enough for sockets.
func newMachine(t *testing.T) machine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lnm-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program, err := exec.LookPath("limactl")
	if err != nil {
		t.Fatal(err)
	}
	l := host.Layout{Home: filepath.Join(dir, "h"), Libexec: filepath.Join(dir, "libexec")}
	fake, err := limatest.Install(l, program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() }) // before its directory goes
	facts := pc
	facts.Home = filepath.Join(dir, "user")
	if err := os.MkdirAll(facts.Home, 0o755); err != nil {
		t.Fatal(err)
	}
	warned := &[]string{}
	m := New(Options{
		Layout: l, Facts: facts, Wanted: plain,
		Environ: []string{"PATH=" + fake.Programs() + ":/usr/bin:/bin", "HOME=" + facts.Home},
		Warn:    func(text string) { *warned = append(*warned, text) },
		Answers: func(context.Context) bool { return fake.Answers() },
		Wait:    func(ctx context.Context) error { return until(ctx, fake.Answers) },
	})
	return machine{m, fake, vmtest.Base(), warned}
}

func until(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// calls are the commands so far that changed something.
func (m machine) calls(t *testing.T) []string {
	t.Helper()
	calls, err := m.fake.Calls()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		if strings.HasPrefix(c, "not recorded") {
			t.Error(c)
		}
	}
	return calls
}

// put makes what a case begins with.
func (m machine) put(t *testing.T, c vmtest.Case) {
	t.Helper()
	l := m.o.Layout
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	instance := map[vm.Status]string{vm.Starting: "running"}[c.Have.Status]
	if instance == "" {
		instance = string(c.Have.Status)
	}
	diskState := string(c.Have.Disk)
	if c.Have.Disk == vm.Disk {
		diskState = "free"
		if c.Have.DiskUser != "" {
			diskState = "locked"
		}
	}
	check(m.fake.Put(instance, c.Have.Config, c.Have.DiskSize, diskState))
	if c.Have.Live {
		// One whose configuration was lost while it ran.
		check(m.fake.Put("running", "vmType: qemu\n", 0, "none"))
		check(os.Remove(filepath.Join(l.LimaInstance(), "lima.yaml")))
	}
	if c.Have.Answers {
		check(m.fake.Answer())
	}
	if c.Have.Status == vm.Starting {
		check(m.fake.Starting())
	}
	if (c.Have.Status == vm.Starting || c.Have.Status == vm.Running) && c.Goal == vm.Started {
		m.o.Wait = func(context.Context) error { return m.fake.Answer() }
	}
	for _, path := range c.Have.Leftovers {
		name := strings.TrimSuffix(filepath.Base(path), ".sock")
		check(os.MkdirAll(l.VMRun(), 0o700))
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.VMSocket(name)})
		check(err)
		listener.SetUnlinkOnClose(false)
		listener.Close()
	}
	if c.Have.Files {
		check(os.MkdirAll(filepath.Dir(l.VMLog("relay")), 0o700))
		check(os.WriteFile(l.VMLog("relay"), nil, 0o600))
	}
	if c.Have.Tool != nil {
		check(os.Remove(l.Bin("limactl")))
	}
	if c.Have.Host != nil {
		check(os.Remove(filepath.Join(m.fake.Programs(), "qemu-system-x86_64")))
		m.o.Environ[0] = "PATH=" + m.fake.Programs()
	}
	if c.Have.Image != nil {
		check(os.RemoveAll(l.Image(amd64)))
	}
	if c.Have.ImageFrom != "" {
		elsewhere := filepath.Join(l.Home, "fetched")
		m.o.Image = func(context.Context, string, string) (Source, error) {
			s := Source{Dir: elsewhere, Digest: "one", From: c.Have.ImageFrom}
			if exists(elsewhere) {
				s.From = ""
			}
			s.Fetch = func(_ context.Context, note func(string)) error {
				note("half of it")
				return os.Rename(l.Image(amd64), elsewhere)
			}
			return s, nil
		}
	}
}

// From every state that has a golden plan: it is seen as such, the plan is the golden one, it
// works, and afterwards nothing is left to do.
func TestEachPlanWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts hundreds of processes")
	}
	for _, c := range vmtest.Load(t, "../vm/testdata/plan") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.want = c.Want
			m.put(t, c)
			seen, err := m.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, want := plainly(seen), plainly(c.Have); !reflect.DeepEqual(got, want) {
				t.Errorf("it is seen as\n%+v\nand is\n%+v", got, want)
			}
			plan := vm.Compare(c.Want, seen, c.Goal)
			if got := strings.ReplaceAll(plan.String(), m.o.Layout.VMRun(), "/run"); plan.Refused == nil && got != c.Plan {
				t.Errorf("the plan is\n%s", got)
			}
			err = vm.Ensure(t.Context(), m, c.Goal, nil)
			if plan.Refused != nil {
				if err == nil || told(err) != plan.Refused.Reason+"; "+plan.Refused.Fix || len(m.calls(t)) > 0 {
					t.Errorf("a refused plan: %v, after %q", err, m.calls(t))
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
			if _, again, err := vm.Find(t.Context(), m, goal); err != nil || !again.Empty() {
				t.Errorf("still to do (%v):\n%s", err, again)
			}
			if changes := m.calls(t); len(plan.Steps) == 0 && len(changes) > 0 {
				t.Errorf("nothing was to do, and it did %q", changes)
			}
		})
	}
}

// plainly is a state without what a case does not say: texts of refusals, paths, and what
// only a limactl could find out when there is none.
func plainly(s vm.State) vm.State {
	plain := &vm.Refusal{}
	for _, r := range []**vm.Refusal{&s.Tool, &s.Host, &s.Image} {
		if *r != nil {
			*r = plain
		}
	}
	for i, path := range s.Leftovers {
		s.Leftovers = slices.Clone(s.Leftovers)
		s.Leftovers[i] = filepath.Base(path)
	}
	if s.DiskError != "" {
		s.DiskError = "it is broken"
	}
	if s.Tool != nil {
		s.DiskSize, s.DiskUser = 0, ""
	}
	if s.Status == vm.Incomplete {
		s.Shape, s.Config = vm.Shape{}, ""
	}
	return s
}

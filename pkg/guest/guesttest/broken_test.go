package guesttest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// faulty is a fake with one fault.
type faulty struct {
	*guesttest.Fake
	run   func(ctx context.Context, p guest.Process, run runFunc) error
	path  func(v guest.Visible, err error) (guest.Visible, error)
	stage func(guest.Stage) guest.Stage
}

type runFunc func(context.Context, guest.Process) error

func (f faulty) Run(ctx context.Context, p guest.Process) error {
	if f.run == nil {
		return f.Fake.Run(ctx, p)
	}
	return f.run(ctx, p, f.Fake.Run)
}

func (f faulty) Path(name string) (guest.Visible, error) {
	v, err := f.Fake.Path(name)
	if f.path == nil {
		return v, err
	}
	return f.path(v, err)
}

func (f faulty) Stage(ctx context.Context) (guest.Stage, error) {
	st, err := f.Fake.Stage(ctx)
	if f.stage == nil || err != nil {
		return st, err
	}
	return f.stage(st), nil
}

// A fault is a way to break the contract, and the clauses that must notice.
type fault struct {
	name    string
	notices []string
	faulty  faulty
}

// change is a fault that runs another process than the one that was asked for.
func change(do func(p *guest.Process)) faulty {
	return faulty{run: func(ctx context.Context, p guest.Process, run runFunc) error {
		do(&p)
		return run(ctx, p)
	}}
}

type cutWriter struct{ w io.Writer }

func (c cutWriter) Write(p []byte) (int, error) {
	_, err := c.w.Write(bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n")))
	return len(p), err
}

type looseStage struct{ guest.Stage }

func (s looseStage) Put(ctx context.Context, name string, _ fs.FileMode, r io.Reader) (string, error) {
	return s.Stage.Put(ctx, name, 0o644, r)
}

type lastingStage struct{ guest.Stage }

// Close leaves it to the end of the test.
func (s lastingStage) Close() error {
	left.Lock()
	defer left.Unlock()
	left.cancels = append(left.cancels, func() { _ = s.Stage.Close() })
	return nil
}

type openStage struct{ guest.Stage }

func (s openStage) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (string, error) {
	_ = os.Chmod(filepath.Dir(s.Path("x")), 0o755)
	return s.Stage.Put(ctx, name, mode, r)
}

var faults = []fault{
	{"environment trimmed", []string{"Environment"}, change(func(p *guest.Process) {
		p.Env = slices.Clone(p.Env)
		for i, e := range p.Env {
			p.Env[i] = strings.TrimRight(e, " ")
		}
	})},
	{"environment cut at newlines", []string{"Environment", "EnvironmentNames"}, change(func(p *guest.Process) {
		p.Env = slices.Clone(p.Env)
		for i, e := range p.Env {
			p.Env[i], _, _ = strings.Cut(e, "\n")
		}
	})},
	{"variables cut at newlines", []string{"Variables"}, change(func(p *guest.Process) {
		p.Variables = slices.Clone(p.Variables)
		for i, v := range p.Variables {
			p.Variables[i], _, _ = strings.Cut(v, "\n")
		}
	})},
	{"variables in the environment", []string{"Variables"}, change(func(p *guest.Process) {
		p.Env = slices.Concat(p.Env, p.Variables)
	})},
	{"arguments joined", []string{"Argv"}, change(func(p *guest.Process) {
		p.Argv = []string{"/bin/sh", "-c", "exec " + strings.Join(quoted(p.Argv), " ")}
	})},
	{"empty arguments dropped", []string{"Argv"}, change(func(p *guest.Process) {
		p.Argv = slices.DeleteFunc(slices.Clone(p.Argv), func(a string) bool { return a == "" })
	})},
	{"stderr merged", []string{"StreamsApart", "Together"}, change(func(p *guest.Process) { p.Stderr = p.Stdout })},
	{"stderr lost", []string{"StreamsApart", "EightBitClean"}, change(func(p *guest.Process) { p.Stderr = nil })},
	{"line ends translated", []string{"EightBitClean"}, change(func(p *guest.Process) { p.Stdout = cutWriter{p.Stdout} })},
	{"a terminal for everything", []string{"StreamsAreNoTerminal", "StreamsApart"}, change(func(p *guest.Process) {
		if p.TTY == nil {
			p.TTY = &guest.TTY{}
		}
	})},
	{"working directory lost", []string{"WorkingDirectory", "NoSuchDirectory"}, change(func(p *guest.Process) { p.Dir = "" })},
	{"resize lost", []string{"TerminalResize"}, change(func(p *guest.Process) {
		if p.TTY != nil {
			tty := *p.TTY
			tty.Resize = nil
			p.TTY = &tty
		}
	})},
	{"TERM lost", []string{"Terminal"}, change(func(p *guest.Process) {
		if p.TTY != nil {
			tty := *p.TTY
			tty.Term = ""
			p.TTY = &tty
		}
	})},
	{"signals lost", []string{"Signals", "SignalsKill"}, change(func(p *guest.Process) { p.Signals = nil })},
	{"exit code lost", []string{"ExitCodes", "SignalDeath"}, faulty{run: func(ctx context.Context, p guest.Process, run runFunc) error {
		err := run(ctx, p)
		if _, ran := guest.ExitCode(err); ran {
			return &guest.ExitError{Code: 1}
		}
		return err
	}}},
	{"failure to start is an exit code", []string{"NoSuchProgram"}, faulty{run: func(ctx context.Context, p guest.Process, run runFunc) error {
		err := run(ctx, p)
		if errors.Is(err, fs.ErrNotExist) {
			return &guest.ExitError{Code: 127}
		}
		return err
	}}},
	{"orphan left", []string{"Cancelled", "CancelledStubborn", "CancelledOnATerminal", "CancelledTidiesUp"}, faulty{run: leave}},
	{"input never ends", []string{"InputEnds", "EightBitClean"}, change(func(p *guest.Process) {
		if p.Stdin != nil {
			never, _ := io.Pipe()
			p.Stdin = io.MultiReader(p.Stdin, never)
		}
	})},
	{"everything visible", []string{"PathHidden"}, faulty{path: func(v guest.Visible, err error) (guest.Visible, error) {
		if err != nil {
			v, err = guest.Visible{Path: "/"}, nil
		}
		return v, err
	}}},
	{"read-only unsaid", []string{"PathReadOnly"}, faulty{path: func(v guest.Visible, err error) (guest.Visible, error) {
		v.ReadOnly = false
		return v, err
	}}},
	{"staged mode lost", []string{"StageModes"}, faulty{stage: func(s guest.Stage) guest.Stage { return looseStage{s} }}},
	{"stage open to others", []string{"StageIsPrivate"}, faulty{stage: func(s guest.Stage) guest.Stage { return openStage{s} }}},
	{"stage not removed", []string{"StageRemoval"}, faulty{stage: func(s guest.Stage) guest.Stage { return lastingStage{s} }}},
}

// quoted is what an author quotes who has not met a single quote in an argument.
func quoted(argv []string) []string {
	var q []string
	for _, a := range argv {
		q = append(q, "'"+a+"'")
	}
	return q
}

// left are the processes and stages that faults have left.
var left struct {
	sync.Mutex
	cancels []func()
	running sync.WaitGroup
}

// leave returns with ctx and leaves the process to itself.
func leave(ctx context.Context, p guest.Process, run runFunc) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	left.Lock()
	left.cancels = append(left.cancels, cancel)
	left.Unlock()
	done := make(chan error, 1)
	left.running.Go(func() { done <- run(inner, p) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// faultVariable names the fault that this process is to run the suite with.
const faultVariable = "LINNET_GUESTTEST_FAULT"

// TestFaulty is only for TestSuiteNotices: it fails on purpose.
func TestFaulty(t *testing.T) {
	name := os.Getenv(faultVariable)
	if name == "" {
		t.Skip(faultVariable + " is not set")
	}
	defer func() {
		for _, cancel := range left.cancels {
			cancel()
		}
		left.running.Wait()
	}()
	target := fakeTarget(t, func(f *guesttest.Fake) guest.Guest {
		for _, fault := range faults {
			if fault.name == name {
				fault.faulty.Fake = f
				return fault.faulty
			}
		}
		return f
	})
	// What waits for something that a fault has lost must not take a minute.
	if name != "none" {
		target.Slow = 1.0 / 20
	}
	guesttest.Suite(t, target)
}

// TestSuiteNotices breaks a fake in every way of faults, and once in none, and asks the
// suite, in a process of its own.
func TestSuiteNotices(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a dozen broken guests")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	// They wait more than they work, so more of them run at once than t.Parallel allows.
	broken := append(slices.Clone(faults), fault{name: "none"})
	outs, codes, errs := make([]bytes.Buffer, len(broken)), make([]int, len(broken)), make([]error, len(broken))
	slots := make(chan struct{}, 6)
	var running sync.WaitGroup
	for i, f := range broken {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			clauses := "TestFaulty"
			if f.notices != nil {
				clauses += "/^(" + strings.Join(f.notices, "|") + ")$"
			}
			codes[i], errs[i] = host.Run(ctx, host.Command{
				Argv: []string{program, "-test.v", "-test.run=^" + clauses}, Env: append(os.Environ(), faultVariable+"="+f.name),
				Stdout: &outs[i], Stderr: &outs[i],
			})
		})
	}
	running.Wait()
	for i, f := range broken {
		t.Run(f.name, func(t *testing.T) {
			out := outs[i].String()
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			if f.notices == nil && codes[i] != 0 {
				t.Errorf("the suite fails with no fault: %s", out)
			}
			for _, clause := range f.notices {
				if !strings.Contains(out, "--- FAIL: TestFaulty/"+clause+" ") {
					t.Errorf("%s does not notice (exit code %d): %s", clause, codes[i], out)
				}
			}
		})
	}
}

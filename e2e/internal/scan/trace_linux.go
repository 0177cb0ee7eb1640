//go:build e2e

package scan

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Exec is one program that was executed.
type Exec struct {
	PID  int
	Argv []string
	// First says that it is the command which was started itself, not yet a descendant,
	// nor what it became later.
	First bool
}

// Execs records every program that a command and all its descendants execute: those that
// outlive it, that leave its session and that live for a microsecond included.
//
// It traces them (ptrace(2)): the kernel stops each new process and thread at its birth and
// each program before its first instruction, and lets it go on only when its command line
// has been read. So nothing can be missed, which looking at /proc, or following the
// kernel's process events from outside, cannot promise.
type Execs struct {
	// At is called for each program while it is stopped; it must be safe for concurrent
	// use. May be nil.
	At func(Exec)

	mu    sync.Mutex
	list  []Exec
	forks []int
	// wg counts the threads that trace.
	wg sync.WaitGroup
}

// All returns what was executed so far.
func (x *Execs) All() []Exec {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.list)
}

// Forks returns the processes that were born so far, whether or not they executed anything;
// threads are none.
func (x *Execs) Forks() []int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.forks)
}

// Drain waits until nothing that was traced runs any more.
func (x *Execs) Drain() { x.wg.Wait() }

// Find returns the programs with the marker on their command line, but for the command
// itself as it was typed.
func (x *Execs) Find(m Marker) (hits []Hit) {
	for _, e := range x.All() {
		for _, arg := range e.Argv {
			if form := m.In([]byte(arg)); form != "" && !e.First {
				hits = append(hits, Hit{fmt.Sprintf("command line of %s (process %d): %.80q", e.Argv[0], e.PID, arg), form})
			}
		}
	}
	return hits
}

// Run runs a command to its end. Its descendants go on being traced for as long as they
// live. The streams of cmd must be nil or files.
func (x *Execs) Run(cmd *exec.Cmd) (code int, err error) {
	type end struct {
		code int
		err  error
	}
	ended := make(chan end, 1)
	x.wg.Add(1)
	go onOwnThread(func() {
		defer x.wg.Done()
		cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
		if err := cmd.Start(); err != nil {
			ended <- end{err: err}
			return
		}
		t := tracer{execs: x, root: cmd.Process.Pid, known: map[int]bool{cmd.Process.Pid: true}}
		if err := cmd.Process.Release(); err != nil {
			ended <- end{err: err}
			return
		}
		err := t.loop(func(code int) { ended <- end{code: code} })
		select {
		case ended <- end{err: err}:
		default: // it had ended before
		}
	})
	e := <-ended
	return e.code, e.err
}

// onOwnThread runs f on a thread that has no children and that ends with f. A tracer must start what it traces, and waits
// for every child of its thread: for one that another test has started there, too.
func onOwnThread(f func()) {
	runtime.LockOSThread() // from here on nothing else starts a child on it
	children, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", syscall.Gettid()))
	if err != nil || len(children) == 0 { // a kernel without that file cannot be asked
		f()
		return
	}
	done := make(chan struct{})
	go func() { // on another thread, as this one is held
		defer close(done)
		onOwnThread(f)
	}()
	<-done
	runtime.UnlockOSThread()
}

type tracer struct {
	execs *Execs
	root  int
	begun bool
	known map[int]bool
}

// loop serves every stop of every traced thread until there is none left.
func (t *tracer) loop(ended func(code int)) error {
	// Only what this thread traces: other children of this process are others' to wait for.
	const flags = syscall.WALL | syscall.WNOTHREAD
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, flags, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case status.Stopped():
			if err := t.stopped(pid, status); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err // but for a thread that was killed while it was stopped
			}
		default:
			delete(t.known, pid)
			if pid == t.root {
				code := status.ExitStatus()
				if status.Signaled() {
					code = 128 + int(status.Signal())
				}
				ended(code)
			}
		}
	}
}

func (t *tracer) stopped(pid int, status syscall.WaitStatus) error {
	if pid == t.root && !t.begun {
		t.begun = true
		t.record(pid, true)
		const options = syscall.PTRACE_O_TRACEFORK | syscall.PTRACE_O_TRACEVFORK | syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACEEXEC
		if err := syscall.PtraceSetOptions(pid, options); err != nil {
			return os.NewSyscallError("ptrace", err)
		}
		return syscall.PtraceCont(pid, 0)
	}
	signal := status.StopSignal()
	switch {
	case signal == syscall.SIGTRAP && status.TrapCause() > 0:
		if status.TrapCause() == syscall.PTRACE_EVENT_EXEC {
			t.record(pid, false)
		} else if err := t.born(pid); err != nil {
			return err
		}
		return syscall.PtraceCont(pid, 0)
	case signal == syscall.SIGSTOP && !t.known[pid]:
		t.known[pid] = true // born, and stopped by us
		return syscall.PtraceCont(pid, 0)
	case signal == syscall.SIGSTOP || signal == syscall.SIGTSTP || signal == syscall.SIGTTIN || signal == syscall.SIGTTOU:
		// Nothing here suspends a process on purpose.
		return syscall.PtraceCont(pid, 0)
	}
	return syscall.PtraceCont(pid, int(signal)) // on its way to the process
}

// born records what a thread has made, unless that is another thread of its process. Both are
// stopped.
func (t *tracer) born(parent int) error {
	id, err := syscall.PtraceGetEventMsg(parent)
	if err != nil {
		return os.NewSyscallError("ptrace", err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", group(parent), id)); err == nil {
		return nil
	}
	t.execs.mu.Lock()
	defer t.execs.mu.Unlock()
	t.execs.forks = append(t.execs.forks, int(id))
	return nil
}

// group is the process that a thread belongs to; itself when it is gone.
func group(thread int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread)) // none: it was killed
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Tgid:"); ok {
			if id, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
				return id
			}
		}
	}
	return thread
}

func (t *tracer) record(pid int, first bool) {
	e := Exec{PID: pid, Argv: cmdline(pid), First: first}
	if t.execs.At != nil {
		t.execs.At(e)
	}
	t.execs.mu.Lock()
	defer t.execs.mu.Unlock()
	t.execs.list = append(t.execs.list, e)
}

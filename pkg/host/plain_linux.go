package host

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a process starts with when a service manager starts it, and a container from it: a person's shell may
// have anything else. Most is inherited for ever (fork(2), execve(2)), down to a container's
// first process.
const (
	plainUmask       = 0o022
	plainTimerSlack  = 50_000 // nanoseconds, the kernel's own (prctl(2), PR_SET_TIMERSLACK)
	plainOpenFiles   = 1 << 20
	plainStack       = 8 << 20
	plainLocked      = 8 << 20
	plainQueues      = 819_200  // MQ_BYTES_MAX
	plainOOMScore    = "0\n"    // a container has its shim's: below 0 it would outlive what it starves
	plainDumpFilter  = "0x33\n" // core(5)
	unlimited        = math.MaxUint64
	ioprioWhoProcess = 1 // ioprio_set(2)
)

// plainLimit is a resource limit (getrlimit(2)) of a service.
type plainLimit struct {
	name      string
	resource  int
	soft, max uint64
}

// plainLimits are as docker.service and the virtual machine's unit have them, and the kernel's own where
// those say nothing.
func plainLimits() []plainLimit {
	all := []plainLimit{
		{"AS", unix.RLIMIT_AS, unlimited, unlimited},
		{"CORE", unix.RLIMIT_CORE, unlimited, unlimited},
		{"CPU", unix.RLIMIT_CPU, unlimited, unlimited},
		{"DATA", unix.RLIMIT_DATA, unlimited, unlimited},
		{"FSIZE", unix.RLIMIT_FSIZE, unlimited, unlimited},
		{"LOCKS", unix.RLIMIT_LOCKS, unlimited, unlimited},
		{"MEMLOCK", unix.RLIMIT_MEMLOCK, plainLocked, plainLocked},
		{"MSGQUEUE", unix.RLIMIT_MSGQUEUE, plainQueues, plainQueues},
		{"NICE", unix.RLIMIT_NICE, 0, 0},
		{"NOFILE", unix.RLIMIT_NOFILE, plainOpenFiles, plainOpenFiles},
		{"NPROC", unix.RLIMIT_NPROC, unlimited, unlimited},
		{"RSS", unix.RLIMIT_RSS, unlimited, unlimited},
		{"RTPRIO", unix.RLIMIT_RTPRIO, 0, 0},
		{"RTTIME", unix.RLIMIT_RTTIME, unlimited, unlimited},
		{"STACK", unix.RLIMIT_STACK, plainStack, unlimited},
	}
	if text, err := os.ReadFile("/proc/sys/kernel/threads-max"); err == nil {
		if threads, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
			all = append(all, plainLimit{"SIGPENDING", unix.RLIMIT_SIGPENDING, threads / 2, threads / 2}) // as the kernel's first process
		}
	}
	return all
}

// PlainProcess gives this process what it would have been started with by a service manager, as far
// as all of its threads share it: mask of new files' modes, resource limits, the kernel's choice
// of whom to kill when memory ends. The error tells what this machine refuses; the rest is done.
func PlainProcess() error {
	unix.Umask(plainUmask)
	var errs []error
	for _, l := range plainLimits() {
		if err := limit(l.resource, unix.Rlimit{Cur: l.soft, Max: l.max}); err != nil {
			errs = append(errs, fmt.Errorf("setting RLIMIT_%s: %w", l.name, err))
		}
	}
	for file, text := range map[string]string{"/proc/self/oom_score_adj": plainOOMScore, "/proc/self/coredump_filter": plainDumpFilter} {
		if err := os.WriteFile(file, []byte(text), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// limit sets a limit, or as much of it as this process may.
func limit(resource int, want unix.Rlimit) error {
	err := unix.Prlimit(0, resource, &want, nil)
	if err == nil {
		return nil
	}
	var have unix.Rlimit
	if unix.Prlimit(0, resource, nil, &have) == nil {
		have.Max = min(have.Max, want.Max)
		have.Cur = min(want.Cur, have.Max)
		_ = unix.Prlimit(0, resource, &have, nil) // the error above is the one to tell
	}
	return err
}

// PlainSignals makes every signal that was ignored when this process was started, as by nohup(1), have its
// default in the programs that it starts: a signal that is caught has (execve(2)).
func PlainSignals() {
	signal.Notify(make(chan os.Signal, 1))
	// Go leaves those to the C library, which keeps its own below SIGRTMIN (signal(7)), and it may have been told to ignore them.
	var byDefault struct{ handler, flags, restorer, mask uint64 } // the kernel's struct sigaction on our processors
	for _, number := range []uintptr{32, 33, 34} {
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, number, uintptr(unsafe.Pointer(&byDefault)), 0, unsafe.Sizeof(byDefault.mask), 0, 0) // each can be set
	}
}

// plainThread gives the calling thread, which is locked, and so the process that it starts, what each thread
// has of its own: priority, processors, blocked signals, keys.
func plainThread() {
	// Whatever of it is refused stays as it is: a program that is slow is better than none.
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
	var all unix.CPUSet
	for i := range all {
		all[i] = ^all[i]
	}
	_ = unix.SchedSetaffinity(0, &all)
	for _, call := range [][3]uintptr{
		{unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0}, // this thread; 0: no class of its own
		{unix.SYS_PERSONALITY, 0},
		{unix.SYS_SET_MEMPOLICY, 0}, // MPOL_DEFAULT
		{unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, plainTimerSlack},
	} {
		_, _, _ = syscall.RawSyscall(call[0], call[1], call[2], 0)
	}
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
	_, _ = unix.KeyctlJoinSessionKeyring("")
}

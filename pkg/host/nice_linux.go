package host

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// start starts cmd with a nice value, plain when asked to (see Daemon). A child has what the thread has that made
// it, so a thread is made for this, and ends with the function.
func start(cmd *exec.Cmd, nice int, plain bool) error {
	if nice == 0 && !plain {
		return cmd.Start()
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if plain {
			plainThread()
		}
		if nice != 0 {
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, nice) // it starts all the same
		}
		result <- cmd.Start()
	}()
	return <-result
}

// Renice gives every thread of a process a nice value.
func Renice(pid, nice int) error {
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range tasks {
		tid, _ := strconv.Atoi(t.Name()) // the kernel's own numbers
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

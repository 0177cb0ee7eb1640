//go:build linux

package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// findDaemon finds the daemon of this home that runs with these arguments, whichever
// installation of linnet has started it: the program may have moved since. The arguments alone
// prove nothing, see host.ProgramArgs. No pid file is kept, so none can be stale or name another process.
func findDaemon(argv []string) (found host.Process, ok bool) {
	like := func(have []string) bool {
		return len(have) > 0 && filepath.Base(have[0]) == filepath.Base(argv[0]) && slices.Equal(have[1:], argv[1:])
	}
	for _, pid := range host.PIDs() {
		if !like(host.CommandLine(pid)) {
			continue
		}
		p, held := host.HoldProcess(pid, func(pid int) bool {
			have, ours := host.ProgramArgs(pid)
			return ours && like(have)
		})
		if !held {
			continue
		}
		// A process that is just starting a child is there twice for a moment: the parent
		// is the one that was started first.
		if ok && !host.StartTime(p.PID).Before(host.StartTime(found.PID)) {
			p.Close()
			continue
		}
		if ok {
			found.Close()
		}
		found, ok = p, true
	}
	return found, ok
}

// endDaemon ends what findDaemon finds, if there is something.
func endDaemon(argv []string, grace time.Duration) error {
	p, ok := findDaemon(argv)
	if !ok {
		return nil
	}
	defer p.Close()
	return p.End(grace)
}

// runsDaemon reports whether findDaemon finds something.
func runsDaemon(argv []string) bool {
	p, ok := findDaemon(argv)
	if ok {
		p.Close()
	}
	return ok
}

// dyingLimit bounds how long the sockets of a process that was killed may still take connections.
const dyingLimit = 10 * time.Second

// waitDead waits until no process listens on a socket. A process that is dying still does for a moment;
// one that lives is told of.
func waitDead(ctx context.Context, socket string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(dyingLimit)
	for {
		pid, listens := host.Listener(socket)
		if !listens {
			return nil
		}
		if argv := host.CommandLine(pid); len(argv) > 0 || time.Now().After(deadline) {
			return hint.With(fmt.Errorf("%s: another process listens there, which is not of this home's engine: %s (process %d)", socket, host.Program(pid), pid),
				"end that process, or set LINNET_HOME to another directory")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// endAll ends processes that are held, at once, and lets go of them.
func endAll(all []host.Process, grace time.Duration) (errs []error) {
	results := make(chan error)
	for _, p := range all {
		go func() {
			defer p.Close()
			results <- p.End(grace)
		}()
	}
	for range all {
		errs = append(errs, <-results)
	}
	return errs
}

// holdAll holds those of the processes that pick is true of.
func holdAll(pids []int, pick func(pid int) bool) (held []host.Process) {
	for _, pid := range pids {
		if p, ok := host.HoldProcess(pid, pick); ok {
			held = append(held, p)
		}
	}
	return held
}

// shims holds this home's shims: those that were told our containerd's socket.
func shims(l host.Layout) []host.Process {
	return holdAll(host.PIDs(), func(pid int) bool { return shimOf(l, pid) != "" })
}

// shimmed are the containers of this home that have a shim. The same program, called to clear away what
// one left that died, does not count.
func shimmed(l host.Layout) map[string]bool {
	ids := map[string]bool{}
	for _, pid := range host.PIDs() {
		if id := shimOf(l, pid); id != "" && !slices.Contains(host.CommandLine(pid), "delete") {
			ids[id] = true
		}
	}
	return ids
}

// shimOf is the container of a shim of this home, empty when the process is none.
func shimOf(l host.Layout, pid int) string {
	if argv := host.CommandLine(pid); len(argv) == 0 || !isShim(l, argv) {
		return "" // what most are, and cheaper to find out
	}
	argv, ours := host.ProgramArgs(pid)
	if !ours || !isShim(l, argv) {
		return ""
	}
	return argAfter(argv, "-id")
}

func isShim(l host.Layout, argv []string) bool {
	return strings.HasPrefix(filepath.Base(argv[0]), "containerd-shim") && argAfter(argv, "-address") == socketOf(l, guest.Containerd)
}

// argAfter is the argument behind a word of a command line, empty when there is none.
func argAfter(argv []string, word string) string {
	if at := slices.Index(argv, word); at >= 0 && at+1 < len(argv) {
		return argv[at+1]
	}
	return ""
}

// helpers holds what else lives in our control group, which only root can put a process into
// and where no container is: what parks a published port, or writes a container's log.
func helpers(l host.Layout) []host.Process {
	others := slices.DeleteFunc(groupMembers(l), func(pid int) bool { return pid == os.Getpid() || pid <= 1 })
	return holdAll(others, func(pid int) bool { return slices.Contains(groupMembers(l), pid) })
}

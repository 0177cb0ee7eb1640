//go:build e2e && linux

package native_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// How often TestRandomKills kills, and the seed of what it kills when; `make test-chaos` sets more.
const (
	envKills = "LINNET_CHAOS_KILLS"
	envSeed  = "LINNET_CHAOS_SEED"
)

// chaos is an engine whose processes are killed.
type chaos struct {
	*lab.Engine

	t      *testing.T
	random *rand.Rand
	image  string
	dir    string // of build contexts and compose files
	token  string // is on the command line of each container's process
	watch  observer
	made   int // names that were given
	hits   map[string]int
	kept   string // the sums of what must not change
}

// Whatever is killed whenever: what no container owns is gone after the next stop, the next start and the next
// reset, and what was there before is as it was.
func TestRandomKills(t *testing.T) {
	kills, seed := number(t, envKills, 30), number(t, envSeed, 9)
	t.Logf("%d kills, %s=%d", kills, envSeed, seed)
	netns := newNetns(t)
	e := hasty(t)
	e.Netns = netns
	c := &chaos{
		Engine: e, t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(uint64(seed), 0)), //nolint:gosec // it has to come out the same again
		hits: map[string]int{}, token: fmt.Sprintf("1%06d", os.Getpid()),
	}
	c.watch = observer{t: t, e: e, token: c.token}
	plan := c.plan(kills)
	for n, tries := 0, 0; n < kills; tries++ {
		if c.kept == "" {
			c.furnish()
		}
		if tries == len(plan) {
			t.Fatalf("only %d of %d blows hit something", n, tries)
		}
		if !c.kill(plan[tries]) {
			continue
		}
		if n++; n%10 == 0 || n == kills {
			c.lookAround(n)
		}
	}
	for _, hit := range slices.Sorted(maps.Keys(c.hits)) {
		t.Logf("%-40s %4d", hit, c.hits[hit])
	}
	for _, op := range []string{"run", "build", "compose up", "rm"} {
		for _, phase := range phases {
			if least := kills / 30; c.hits["during "+op+", "+phase] < least {
				t.Errorf("%s was hit in its %s phase %d times, want %d", op, phase, c.hits["during "+op+", "+phase], least)
			}
		}
	}
}

func number(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// blow is a kill as it is meant.
type blow struct {
	op, target string
	phase      int
}

// targets are what may be killed. A build has no nerdctl.
var targets = []string{"client", "nerdctl", "agent", "containerd", "buildkitd", "shim", "first process", "runc"}

// plan deals all operations, phases and targets evenly, in an order that the seed says.
func (c *chaos) plan(kills int) (all []blow) {
	var deck []string
	for len(all) < 5*kills {
		var some []blow
		for _, op := range []string{"run", "build", "compose up", "rm"} {
			for phase := range phases {
				if len(deck) == 0 {
					deck = slices.Clone(targets)
					c.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
				}
				some = append(some, blow{op, deck[0], phase})
				deck = deck[1:]
			}
		}
		c.random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		all = append(all, some...)
	}
	return all
}

// furnish makes what is killed beside, and what must outlive it.
func (c *chaos) furnish() {
	c.t.Helper()
	c.image = c.Busybox(c.t)
	c.Must(c.t, "volume", "create", "kept")
	c.Must(c.t, "run", "--rm", "-v", "kept:/kept", "-p", "127.0.0.1:18071:80", c.image, "sh", "-c", "head -c 3000000 /dev/urandom > /kept/file")
	c.Must(c.t, "tag", c.image, "kept")
	c.kept = c.sums()
	c.watch.begin()
}

// sums are the checksums of a volume's file, read on the host, and of an image's, read in a container.
func (c *chaos) sums() string {
	c.t.Helper()
	files, _ := filepath.Glob(filepath.Join(c.Home, "native", "nerdctl", "*", "volumes", "default", "kept", "_data", "file"))
	if len(files) != 1 {
		c.t.Fatalf("the volume is kept in %q", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		c.t.Fatal(err)
	}
	return fmt.Sprintf("%x %s %s", sha256.Sum256(text),
		c.Must(c.t, "run", "--rm", "--network=none", "kept", "sha256sum", "/bin/busybox"),
		c.Must(c.t, "image", "inspect", "--format", "{{.Id}}", "kept"))
}

// kill strikes one blow and reports whether it hit something.
func (c *chaos) kill(b blow) bool {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), lab.Timeout)
	defer cancel()
	op := c.begin(ctx, b.op)
	defer func() { c.settle(op) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	ended := false
	for {
		phase := op.phase()
		if pid := c.victim(b.target, op); phase >= b.phase && pid > 1 {
			if !strike(pid) {
				return false
			}
			hit := "during " + op.name + ", " + phases[phase]
			c.hits[hit]++
			c.hits[b.target]++
			c.t.Logf("%s %s: %s killed", hit, "(meant: "+phases[b.phase]+")", b.target)
			return true
		}
		if ended {
			return false
		}
		select {
		case <-tick.C:
		case <-op.done: // once more: some of it outlives its client
			ended = true
		}
	}
}

// strike kills a process and waits until it is gone: one that is dying still takes connections. It
// reports false when there was none.
func strike(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
		return false
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(lab.Timeout.Milliseconds()))
	return err == nil || errors.Is(err, unix.EINTR)
}

// settle waits for the client's end, helps where it hangs without its engine, and runs the next command.
func (c *chaos) settle(op *operation) {
	c.t.Helper()
	select {
	case <-op.done:
	case <-time.After(10 * time.Second):
		c.t.Logf("%s has not ended after 10 s; its client is killed, too", op.name)
		_ = op.cmd.Process.Kill()
		<-op.done
	}
	if r := c.Run(c.t, "ps", "-q"); r.Code != 0 {
		c.t.Fatalf("the next command after a kill during %s: exit code %d\n%s\n%s said:\n%s", op.name, r.Code, r.Err, op.name, op.said())
	}
}

// lookAround is what comes after each tenth kill.
func (c *chaos) lookAround(n int) {
	c.t.Helper()
	if n/10%2 == 0 {
		// No process stops well what is killed all at once: the next start finds it so.
		var pids []int
		for _, p := range processesOf(c.Engine) {
			pids = append(pids, p.pid)
		}
		for _, bundle := range c.bundles() {
			pids = append(pids, initOf(bundle))
		}
		for _, pid := range pids {
			if pid > 1 {
				strike(pid) // it may be gone with another
			}
		}
		c.Must(c.t, "engine", "start")
		// It tidies up beside the first commands.
		for limit := time.Now().Add(30 * time.Second); len(c.watch.left(false)) > 0 && time.Now().Before(limit); {
			c.Must(c.t, "ps", "-q")
		}
		c.watch.nothing(fmt.Sprintf("after %d kills, all that was left killed at once, and a start", n), false)
	}
	begin := time.Now()
	c.Must(c.t, "engine", "stop", "-t", "0s")
	c.watch.nothing(fmt.Sprintf("after %d kills and a stop", n), false)
	nothingRuns(c.t, c.Engine)
	c.Must(c.t, "engine", "start")
	if now := c.sums(); now != c.kept {
		c.t.Errorf("after %d kills the checksums were\n%s\nand are\n%s", n, c.kept, now)
	}
	c.watch.nothing(fmt.Sprintf("after %d kills, a stop and a start", n), false)
	c.Must(c.t, "engine", "reset", "--force")
	c.watch.nothing(fmt.Sprintf("after %d kills and a reset", n), true)
	nothingRuns(c.t, c.Engine)
	c.kept = ""
	c.t.Logf("after %d kills: stopped, started and reset in %v", n, time.Since(begin))
}

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// Budgets of Docker's API. The first request, which starts dockerd, may take firstOf times a warm one's time where that is more than
// firstRequest, and a warm one doorOf times what dockerd's own socket takes.
const (
	firstRequest = 1500 * time.Millisecond
	firstOf      = 20
	doorOf       = 1.25
	// dockerIdle is what dockerd may keep for itself when no container runs, agentIdle the agent beside it.
	dockerIdle, agentIdle = 48 << 20, 32 << 20
)

// dockerBench is docker's command line on an engine of its own, whose dockerd soon sleeps.
type dockerBench struct {
	*bench

	engine *lab.Engine
	// door and behind are clients' socket and dockerd's own.
	door, behind string
	docker       string
}

// docker measures Docker's API: the door beside the socket behind it, the first request, and what is left when it is idle.
func (b *bench) docker() error {
	if err := lab.MakePeers("docker"); err != nil {
		return err
	}
	engine, done, err := lab.Open()
	if err != nil {
		return err
	}
	defer done()
	d := &dockerBench{
		bench: b, engine: engine,
		door: filepath.Join(engine.Home, "docker.sock"), behind: filepath.Join(engine.Home, "native", "run", "dockerd.sock"),
		docker: filepath.Join(lab.SourceRoot(), "_output", "peers", "bin", "docker"),
	}
	image, err := b.nothing()
	if err != nil {
		return err
	}
	if err := d.linnet("build", "--quiet", "--tag", "nothing", image); err != nil {
		return err
	}
	return errors.Join(d.measureDoor(), d.first(), d.idle())
}

func (d *dockerBench) linnet(args ...string) error {
	cmd := exec.Command(d.engine.Linnet(), args...)
	cmd.Env = d.engine.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("linnet %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// at is a docker command line at a socket.
func (d *dockerBench) at(name, socket string, args ...string) command {
	return command{
		Name: name, argv: append([]string{d.docker}, args...),
		env: append(d.engine.Environ(), "DOCKER_HOST=unix://"+socket, "DOCKER_CONFIG="+d.dir),
	}
}

// measureDoor compares clients' socket with dockerd's own.
func (d *dockerBench) measureDoor() error {
	var failed []error
	for _, g := range []struct {
		name string
		args []string
	}{
		{"docker: a warm docker ps", []string{"ps", "-q"}},
		{"docker: run --rm, without a network", []string{"run", "--rm", "--network=none", "nothing", "/true"}},
		{"docker: run --rm, bridged", []string{"run", "--rm", "nothing", "/true"}},
	} {
		behind, door := d.at("dockerd's own socket", d.behind, g.args...), d.at("through the door", d.door, g.args...)
		door.ratio = doorOf
		// What goes past the door is no request: dockerd is kept awake by one.
		behind.before = func() error {
			_, _, _, err := d.at("", d.door, "version").once([]string{d.docker, "version"})
			return err
		}
		failed = append(failed, d.group(g.name, true, []command{behind, door}))
	}
	return errors.Join(failed...)
}

// first measures the request that starts dockerd, and a warm one after it.
func (d *dockerBench) first() error {
	var cold, warm []time.Duration
	ps := d.at("", d.door, "ps", "-q")
	for range max(d.rounds/6, 3) {
		if err := d.linnet("engine", "restart"); err != nil {
			return err
		}
		for _, all := range []*[]time.Duration{&cold, &warm} {
			took, _, out, err := ps.once(ps.argv)
			if err != nil {
				return fmt.Errorf("docker ps: %w\n%s", err, out.said)
			}
			*all = append(*all, took)
		}
	}
	budget := max(firstRequest, firstOf*median(warm))
	d.results = append(
		d.results,
		result{Group: "docker: the first docker ps", Name: "the second", Wall: median(warm), Spread: spread(warm), Ratio: 1},
		result{
			Group: "docker: the first docker ps", Name: "the first, which starts dockerd", Wall: median(cold), Spread: spread(cold),
			Over: median(cold) - median(warm), Budget: budget - median(warm), Ratio: float64(median(cold)) / float64(median(warm)),
		},
	)
	return nil
}

// idle looks at what dockerd and the agent keep for themselves, and that nothing is left of dockerd after the idle time.
func (d *dockerBench) idle() error {
	for name, most := range map[string]int64{"dockerd": dockerIdle, "agent": agentIdle} {
		pid, err := d.pid(name)
		if err != nil {
			return err
		}
		own, err := private(pid)
		if err != nil {
			return err
		}
		d.peaks = append(d.peaks, peak{Name: "docker: what an idle " + name + " has to itself", Bytes: own, Budget: most})
	}
	d.engine.Env = append(d.engine.Env, "LINNET_DOCKER_IDLE=1s")
	if err := d.linnet("engine", "restart"); err != nil {
		return err
	}
	ps := d.at("", d.door, "ps", "-q")
	if _, _, out, err := ps.once(ps.argv); err != nil {
		return fmt.Errorf("docker ps: %w\n%s", err, out.said)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		pid, err := d.pid("dockerd")
		if err != nil {
			return err
		}
		if pid == 0 {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("docker: dockerd runs a minute after its idle time")
		}
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // a poll for a state, with a deadline
	}
	left, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return err
	}
	for _, link := range left {
		exe, _ := os.Readlink(link) // it may have ended
		text, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
		if strings.HasPrefix(filepath.Base(exe), "docker") && strings.Contains(string(text), d.engine.Home) {
			return fmt.Errorf("docker: after the idle time there is %s", exe)
		}
	}
	return nil
}

// pid is a daemon's process, 0 when it does not run.
func (d *dockerBench) pid(name string) (int, error) {
	cmd := exec.Command(d.engine.Linnet(), "engine", "status", "--format", "json")
	cmd.Env = d.engine.Environ()
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("asking for the engine's status: %w", err)
	}
	var status struct {
		Daemons []struct {
			Name, State string
			PID         int
		}
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return 0, err
	}
	for _, daemon := range status.Daemons {
		if daemon.Name == name {
			return daemon.PID, nil
		}
	}
	return 0, fmt.Errorf("no %s in the engine's status", name)
}

var privateLine = regexp.MustCompile(`(?m)^Private_(?:Clean|Dirty): +([0-9]+) kB$`)

// private is what of the memory of a process no other has, in bytes (proc_pid_smaps(5)).
func private(pid int) (size int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for _, found := range privateLine.FindAllSubmatch(text, -1) {
		kib, err := strconv.ParseInt(string(found[1]), 10, 64)
		if err != nil {
			return 0, err
		}
		size += kib << 10
	}
	return size, nil
}

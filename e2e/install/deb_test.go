//go:build e2e && linux

package install_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// goal is what may pass between an installed package and the first container's output.
const goal = 60 * time.Second

// phase is a part of the way to the first container, and what it took.
type phase struct {
	name string
	took time.Duration
}

func table(t *testing.T, suite string, phases []phase) (sum time.Duration) {
	t.Helper()
	var text strings.Builder
	for _, p := range phases {
		sum += p.took
		fmt.Fprintf(&text, "\n%s: %-32s %6.1f s", suite, p.name, p.took.Seconds())
	}
	t.Logf("%s\n%s: %-32s %6.1f s", &text, suite, "together", sum.Seconds())
	return sum
}

// A user installs the package, works with it, updates it and removes it.
func TestDeb(t *testing.T) {
	for _, suite := range suites {
		t.Run(suite, func(t *testing.T) {
			m := newMachine(t, suite)
			m.bring(t, deb(t, first), "root/first.deb")
			m.bring(t, deb(t, later), "root/later.deb")
			update := m.must(t, theHosts, "apt-get", "update")
			t.Logf("%s: apt-get update %.1f s", suite, update.took.Seconds())
			before, there := observe(t, m), packages(t, m)
			steps := []struct {
				name string
				do   func(*testing.T, *machine)
			}{
				{"install", func(t *testing.T, m *machine) { install(t, m, before) }},
				{"first container", func(t *testing.T, m *machine) { firstContainer(t, m, suite) }},
				{"update while the engine is stopped", updateStopped},
				{"update while a container runs", updateRunning},
				{"remove", func(t *testing.T, m *machine) { remove(t, m, before, there) }},
			}
			for _, step := range steps {
				if !t.Run(step.name, func(t *testing.T) { step.do(t, m) }) {
					t.FailNow() // what follows builds on it
				}
			}
		})
	}
}

// packages are the names of the installed ones.
func packages(t *testing.T, m *machine) []string {
	t.Helper()
	return strings.Fields(m.must(t, own, "dpkg-query", "--show", "--showformat", "${Package}\n").out)
}

// install installs the package: it brings what it needs, asks nothing and starts nothing.
func install(t *testing.T, m *machine, before state) {
	plan := m.must(t, own, "apt-get", "install", "--simulate", "/root/first.deb").out
	if !strings.Contains(plan, "Inst qemu-user") {
		t.Errorf("apt would not bring what the package recommends:\n%s", plan)
	}
	r := m.must(t, theHosts, "apt-get", "install", "--yes", "--no-install-recommends", "/root/first.deb")
	t.Logf("apt-get install, packages fetched: %.1f s", r.took.Seconds())
	for _, name := range []string{"linnet", "iptables", "libseccomp2", "kmod", "ca-certificates"} {
		if status := m.must(t, own, "dpkg-query", "-W", "-f=${db:Status-Status}", name).out; status != "installed" {
			t.Errorf("%s is %s", name, status)
		}
	}
	after := observe(t, m)
	for thing := range after {
		if kind, _, _ := strings.Cut(thing, " "); kind != "file" && !before[thing] {
			t.Errorf("the installation made: %s", thing)
		}
	}
	if after["file /root/.linnet"] {
		t.Error("the installation made a home")
	}
	if v := versionsOf(t, m); v.Client.Version != first || v.Agent != "" {
		t.Errorf("the versions are %+v, want %s and no agent", v, first)
	}
}

// firstContainer is the way from an installed package to a container's output, in the time that it may take.
func firstContainer(t *testing.T, m *machine, suite string) {
	begin := time.Now()
	m.linnet(t, "engine", "start")
	started := time.Now()
	image(t, m)
	built := time.Now()
	if out := m.linnet(t, "run", "--rm", "app", "echo", "hello"); out != "hello" {
		t.Errorf("the container said %q", out)
	}
	sum := table(t, suite, []phase{{"the engine's first start", started.Sub(begin)}, {"the image's build", built.Sub(started)}, {"the first container", time.Since(built)}})
	if sum > goal {
		t.Errorf("the first container's output took %v, and %v is the goal", sum, goal)
	}
	m.linnet(t, "volume", "create", "data")
	m.linnet(t, "run", "--rm", "-v", "data:/data", "app", "sh", "-c", "echo kept >/data/file")
}

// holds fails the test unless the volume and the image are what they were.
func holds(t *testing.T, m *machine) {
	t.Helper()
	if out := m.linnet(t, "run", "--rm", "-v", "data:/data", "app", "cat", "/data/file"); out != "kept" {
		t.Errorf("the volume has %q", out)
	}
}

func updateStopped(t *testing.T, m *machine) {
	m.linnet(t, "engine", "stop")
	m.must(t, own, "apt-get", "install", "--yes", "/root/later.deb")
	holds(t, m)
	if v := versionsOf(t, m); v.Agent != later || len(v.Problems) > 0 {
		t.Errorf("the versions are %+v, want %s and no problems", v, later)
	}
}

// updateRunning updates while a container runs. It runs on, under the old agent and under the new one.
func updateRunning(t *testing.T, m *machine) {
	m.linnet(t, "engine", "stop")
	m.must(t, own, "apt-get", "install", "--yes", "--allow-downgrades", "/root/first.deb")
	m.linnet(t, "run", "-d", "--name", "long", "--restart", "always", "-v", "data:/data", "app", "sh", "-c", "echo up; sleep infinity")
	since := m.linnet(t, "inspect", "--format", "{{.State.Pid}} {{.State.StartedAt}}", "long")
	m.must(t, own, "apt-get", "install", "--yes", "/root/later.deb")
	running := func(when string) {
		t.Helper()
		if now := m.linnet(t, "inspect", "--format", "{{.State.Pid}} {{.State.StartedAt}}", "long"); now != since {
			t.Errorf("%s the container is %s, and was %s", when, now, since)
		}
		if out := m.linnet(t, "exec", "long", "echo", "in"); out != "in" {
			t.Errorf("%s a command in it said %q", when, out)
		}
		holds(t, m)
	}
	running("after the update")
	want := "the agent is " + first + " and the client " + later + ": linnet engine restart"
	if v := versionsOf(t, m); v.Agent != first || !slices.Contains(v.Problems, want) {
		t.Errorf("the versions are %+v, and do not say %q", v, want)
	}
	m.must(t, own, "sh", "-c", "kill -9 "+process(t, m, "linnet-agent serve"))
	running("with the new agent")
	if v := versionsOf(t, m); v.Agent != later || len(v.Problems) > 0 {
		t.Errorf("the versions are %+v, want %s and no problems", v, later)
	}
	m.linnet(t, "engine", "restart")
	lab.Eventually(t, "the container to come back", func() bool {
		return m.run(t, own, "linnet", "exec", "long", "cat", "/data/file").out == "kept\n"
	})
}

// remove removes it all: nothing is left but what the package manager and others keep.
func remove(t *testing.T, m *machine, before state, there []string) {
	r := m.must(t, own, "linnet", "uninstall", "--force")
	if !strings.Contains(r.err, "apt remove linnet") {
		t.Errorf("uninstall does not say who removes the programs:\n%s", r.err)
	}
	m.must(t, own, "apt-get", "purge", "--yes", "linnet")
	came := slices.DeleteFunc(packages(t, m), func(name string) bool { return slices.Contains(there, name) })
	m.must(t, own, append([]string{"apt-get", "purge", "--yes"}, came...)...) // autoremove keeps what others recommend, as apt does ca-certificates
	removeApp(t, m)
	compare(t, before, observe(t, m), append(kept, shared...)...)
}

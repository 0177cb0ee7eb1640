//go:build e2e && linux

package install_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// state is what a machine shows: files on its disk and in its memory, mounts, processes, control groups, interfaces and rules.
type state map[string]bool

// observe reads a machine's state, a line for each thing, with what it is before its name.
func observe(t *testing.T, m *machine) state {
	t.Helper()
	s := state{}
	inside := filepath.Join("/proc", strconv.Itoa(m.pid), "root")
	s.files(t, m.root, "") // the disk: what is mounted inside is not seen from here
	for _, dir := range []string{"/run", "/dev/shm"} {
		s.files(t, filepath.Join(inside, dir), dir)
	}
	mounts, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(m.pid), "mountinfo"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		s["mount "+strings.Fields(line)[4]] = true
	}
	for _, words := range processes(m) {
		s["process "+strings.Join(words, " ")] = true
	}
	groups, err := m.groups()
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		_, below, _ := strings.Cut(group, m.group)
		s["group "+below] = true // the same in each hierarchy
	}
	s.network(t, m)
	return s
}

// files adds what is below a directory, named as the machine names it.
func (s state) files(t *testing.T, dir, name string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			s["file "+name+strings.TrimPrefix(path, dir)] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// processes are the words of the machine's processes, by the number that it knows them by; threads of the kernel are none of them.
func processes(m *machine) map[string][]string {
	dirs, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(m.pid), "root/proc/[0-9]*"))
	found := map[string][]string{}
	for _, dir := range dirs {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it may have ended
		if words := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"); words[0] != "" {
			found[filepath.Base(dir)] = words
		}
	}
	return found
}

// counters are a rule's or a chain's, which traffic changes.
var counters = regexp.MustCompile(` ?\[\d+:\d+\]`)

// network adds the interfaces and the rules of iptables, of either kind, but for chains that the kernel brings.
func (s state) network(t *testing.T, m *machine) {
	t.Helper()
	there := []string{"nsenter", "--net", "--target", strconv.Itoa(m.pid)}
	for line := range strings.Lines(mustHost(t, append(there, "ip", "-o", "link")...)) {
		s["interface "+strings.TrimSuffix(strings.Fields(line)[1], ":")] = true
	}
	for _, save := range []string{"iptables-nft-save", "iptables-legacy-save", "ip6tables-nft-save", "ip6tables-legacy-save"} {
		table := ""
		for line := range strings.Lines(mustHost(t, append(there, save)...)) {
			line = strings.TrimSpace(line)
			if name, ok := strings.CutPrefix(line, "*"); ok {
				table = name
			}
			rule := strings.HasPrefix(line, "-A") || strings.HasPrefix(line, ":") && strings.Contains(line, " - ")
			if rule {
				s["rule "+strings.TrimSuffix(save, "-save")+" "+table+" "+counters.ReplaceAllString(line, "")] = true
			}
		}
	}
}

// left are things that stay when linnet and what came with it are removed, with whose they are.
type left struct{ pattern, reason string }

// kept are what the package manager keeps of any package.
var kept = []left{
	{`^file /var/lib/dpkg/`, "dpkg's own lists and their backups"},
	{`^file /var/lib/apt/`, "apt's own: which packages came by themselves, lists"},
	{`^file /var/cache/(apt|debconf|ldconfig)(/|$)`, "caches of apt, debconf and ldconfig"},
	{`^file /var/log/(apt/|dpkg\.log|alternatives\.log)`, "what dpkg and apt have done"},
	{`^file /etc/hosts$`, "netbase's, which iptables depends on: it makes the file where there is none"},
}

// shared are what docs/files.md says that stays, since others use it too.
var shared = []left{
	{`^file /run/containerd(/fifo|/s|/runc|/runc/default)?$`, "containerd's, of any that runs here"},
	{`^file /run/nerdctl(/|$)`, "nerdctl's locks"},
	{`^file /var/lib/cni(/results)?$`, "the CNI library's"},
	{`^group /(default|buildkit)$`, "the parents of containers' and of build steps' control groups"},
	{`^rule iptables-\w+ \w+ :(CNI-FORWARD|CNI-ADMIN|CNI-ISOLATION-STAGE-\d|CNI-HOSTPORT-\w+) -`, "chains of the CNI plugins"},
	{`^rule iptables-\w+ \w+ -A \S+ .*-j (CNI-FORWARD|CNI-ADMIN|CNI-HOSTPORT-\w+|CNI-ISOLATION-STAGE-\d)`, "where those are called from"},
	{`^rule iptables-\w+ filter -A CNI-ISOLATION-STAGE-\d .*-j RETURN$`, "how the two of them that keep networks apart end"},
}

// compare fails the test for whatever is new in a state and has no reason to stay.
func compare(t *testing.T, before, after state, stays ...left) {
	t.Helper()
	for _, thing := range slices.Sorted(maps.Keys(after)) {
		excused := slices.ContainsFunc(stays, func(l left) bool { return regexp.MustCompile(l.pattern).MatchString(thing) })
		if !before[thing] && !excused {
			t.Errorf("left: %s", thing)
		}
	}
}

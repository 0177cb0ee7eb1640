//go:build e2e && linux

package native_test

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// observer looks at what an engine has left, by what the system tells: in a network namespace of
// its own, and without asking the engine.
type observer struct {
	t     *testing.T
	e     *lab.Engine
	token string // is on the command line of each container's process

	rules []string // that were there before
}

// begin notes what is there, and is not the engine's containers'.
func (o *observer) begin() {
	o.rules = iptables(o.t, o.e.Netns)
}

// nothing fails the test for all that is left.
func (o *observer) nothing(when string, reset bool) {
	o.t.Helper()
	left := o.left(reset)
	o.t.Logf("%s: %d left", when, len(left))
	if len(left) > 0 {
		o.t.Errorf("%s there are:\n%s", when, strings.Join(left, "\n"))
	}
}

// left lists what no container owns; none runs. After a reset the bridges and their rules are gone, too.
func (o *observer) left(reset bool) (left []string) {
	o.t.Helper()
	l := layoutOf(o.e)
	add := func(kind string, all ...string) {
		for _, one := range all {
			left = append(left, kind+" "+one)
		}
	}
	for _, rule := range iptables(o.t, o.e.Netns) {
		bridge := strings.Contains(rule, " linnet-") || strings.Contains(rule, " ln-")
		if reset && bridge || !bridge && !slices.Contains(o.rules, rule) {
			add("rule", rule)
		}
	}
	for _, file := range globbed(filepath.Join(l.Leases(), "*", "*")) {
		if _, err := netip.ParseAddr(filepath.Base(file)); err == nil {
			add("lease", file)
		}
	}
	for _, note := range globbed("/var/lib/cni/results/*") {
		if o.ours(note) {
			add("CNI result", note)
		}
	}
	for _, state := range globbed("/run/containerd/runc/*/*/state.json") {
		if text, _ := os.ReadFile(state); strings.Contains(string(text), l.Volatile()+"/") {
			add("runc's state", state)
		}
	}
	add("link", o.links(reset)...)
	for _, p := range globbed("/proc/[0-9]*/cmdline") {
		text, _ := os.ReadFile(p)
		if strings.Contains(string(text), o.token) {
			add("process", p+" "+strings.ReplaceAll(string(text), "\x00", " "))
		}
		groups, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "cgroup"))
		if strings.HasPrefix(string(text), "sleep\x00infinity") && strings.Contains(string(groups), "/linnet-"+l.ID()+"\n") {
			add("process that holds ports", p)
		}
	}
	add("bundle", globbed(filepath.Join(l.ContainerdState(), "io.containerd.runtime.v2.task", "*", "*"))...)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		o.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if point := strings.Fields(line)[4]; strings.HasPrefix(point, o.e.Home+"/") || strings.HasPrefix(point, l.Volatile()+"/") {
			add("mount", point)
		}
	}
	return left
}

// links lists the ends of containers' links, and after a reset the bridges.
func (o *observer) links(reset bool) (names []string) {
	for _, kind := range []string{"veth", "bridge"} {
		if kind == "bridge" && !reset {
			continue
		}
		out, err := lab.InNetns(o.t.Context(), o.e.Netns, "ip", "-br", "link", "show", "type", kind).Output()
		if err != nil {
			o.t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			names = append(names, strings.Fields(line)[0])
		}
	}
	return names
}

// ours reports whether a note of CNI's library is about a network of this home.
func (o *observer) ours(note string) bool {
	var of struct {
		Config string `json:"config"`
	}
	text, err := os.ReadFile(note)
	if err != nil || json.Unmarshal(text, &of) != nil {
		return false
	}
	config, err := base64.StdEncoding.DecodeString(of.Config)
	return err == nil && strings.Contains(string(config), o.e.Home+"/")
}

func globbed(patterns ...string) (all []string) {
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern) // the patterns are fine
		all = append(all, found...)
	}
	return all
}

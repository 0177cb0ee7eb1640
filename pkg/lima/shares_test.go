package lima

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// LINNET_HOME is not shared: it is hidden in the home directory, and a share that would give it away
// otherwise is refused, wherever links lead.
func TestLinnetHomeIsNotShared(t *testing.T) {
	m := newMachine(t)
	user := m.o.Facts.Home
	dir := filepath.Dir(user)
	home := filepath.Join(user, ".linnet")
	m.o.Layout.Home, m.o.Wanted.Accelerator = home, "tcg"
	inside := filepath.Join(home, "lima")
	link := filepath.Join(dir, "link")
	m.check(t, os.MkdirAll(inside, 0o700))
	m.check(t, os.Symlink(inside, link))
	root := filepath.Dir(dir)
	const move = "name the directories in it that are needed, or share it read-only (:ro), or set LINNET_HOME to a directory elsewhere"
	for _, c := range []struct {
		name, mountType string
		mounts          []string
		want            string
		hidden          bool
	}{
		{"the home directory", auto, nil, "", true},
		{"the home directory, read-only", "reverse-sshfs", []string{"~:ro"}, "", true},
		{"another directory", auto, []string{"~:off", dir + "/other"}, "", false},
		{"what is above", auto, []string{"~:off", dir + ":rw"}, "sharing " + dir + ": LINNET_HOME is in it (" + home + "), which the virtual machine must not write; " + move, false},
		{"what is far above", auto, []string{root}, "sharing " + root + ": LINNET_HOME is in it (" + home + "), which the virtual machine must not write; " + move, false},
		{"what is above, read-only", auto, []string{"~:off", dir + ":ro"}, "", true},
		{"itself", auto, []string{"~/.linnet"}, "sharing " + home + ": it belongs to linnet itself (LINNET_HOME is " + home + "); name another directory in vm.mounts", false},
		{"what is in it, by a link", auto, []string{link + ":ro"}, "sharing " + inside + ": it belongs to linnet itself (LINNET_HOME is " + home + "); name another directory in vm.mounts", false},
		{"what looks alike", auto, []string{"~:off", home + "-too"}, "", false},
		{"where it cannot be hidden", "reverse-sshfs", nil, "sharing " + user + ": with vm.mountType reverse-sshfs the virtual machine could write " + home + " in it; set vm.mountType to auto, or share it read-only (\"~:ro\")", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, made := range []string{dir + "/other", home + "-too"} {
				m.check(t, os.MkdirAll(made, 0o755))
			}
			o := m.o
			o.Wanted.Mounts, o.Wanted.MountType = c.mounts, c.mountType
			machine := New(o)
			spec, err := machine.Want(t.Context())
			if err != nil != (c.want != "") || err != nil && told(err) != c.want {
				t.Errorf("it is %q, not %q", told(err), c.want)
			}
			if hides := strings.Contains(spec.Config, GuestHidden+"\n") && strings.Contains(spec.Config, "  content: \""+home+"\"\n"); hides != c.hidden {
				t.Errorf("it is hidden: %v, in\n%s", hides, spec.Config)
			}
			if c.want == "" && slices.Equal(machine.Sharing().Hidden, []string{home}) != c.hidden {
				t.Errorf("it is said to hide %q", machine.Sharing().Hidden)
			}
		})
	}
}

// Where a process can be given a view, the machine's processes share one without LINNET_HOME; elsewhere
// what there is.
func TestTheMachineSharesAView(t *testing.T) {
	m := newMachine(t)
	home := filepath.Join(m.o.Facts.Home, ".linnet")
	view := filepath.Join(home, "vm/default/view/1")
	other := filepath.Join(filepath.Dir(m.o.Facts.Home), "other")
	m.check(t, os.MkdirAll(other, 0o755))
	m.o.Layout.Home, m.o.Wanted.Accelerator, m.o.Wanted.Mounts = home, "tcg", []string{"~:off", other, "~"}
	for _, c := range []struct {
		name, program, system string
		want                  bool
	}{
		{"where it can be tried", "/bin/true", "linux", true},
		{"where it fails", "/bin/false", "linux", false},
		{"where there is none", "/bin/true", "darwin", false},
	} {
		o := m.o
		o.Program, o.Facts.OS = c.program, c.system
		o.Facts.Arch = "amd64"
		machine := New(o)
		spec, err := machine.Want(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		through, err := machine.through(spec.Config)
		if err != nil {
			t.Fatal(err)
		}
		if viewed := strings.Contains(spec.Config, "- location: \""+view+"\"\n  mountPoint: \""+m.o.Facts.Home+"\"\n"); viewed != c.want || spec.Viewed != c.want || machine.Sharing().Kept != c.want {
			t.Errorf("%s: viewed %v, %v, %v in\n%s", c.name, viewed, spec.Viewed, machine.Sharing().Kept, spec.Config)
		}
		want := []string{c.program, "vm", "view", home, filepath.Join(home, "vm/default/view/empty"), m.o.Facts.Home, view, "--"}
		if !c.want {
			want = nil
		}
		if !slices.Equal(through, want) {
			t.Errorf("%s: limactl is started through %q, not %q", c.name, through, want)
		}
		if !slices.Equal(spec.Mounts, []string{other, m.o.Facts.Home}) {
			t.Errorf("%s: it shares %q", c.name, spec.Mounts)
		}
	}
}

func TestTheBoundaryIsSaid(t *testing.T) {
	home := []Mount{{Path: "/home/a"}}
	for want, s := range map[string]Sharing{
		"what is root in the virtual machine can change every file below /home/a as you can, but for /home/a/l, and no other of this host":                {home, []string{"/home/a/l"}, true},
		"what is root in the virtual machine can change every file below /home/a as you can (/home/a/l is only covered there), and no other of this host": {home, []string{"/home/a/l"}, false},
	} {
		if got := s.Boundary(); got != want {
			t.Errorf("%v: %q, not %q", s, got, want)
		}
	}
	for want, mounts := range map[string][]Mount{
		"the virtual machine reaches no file of this host":                                                             nil,
		"what runs in the virtual machine can read what is shared, and change no file of this host":                    {{Path: "/srv", ReadOnly: true}},
		"what is root in the virtual machine can change every file below /a, /b as you can, and no other of this host": {{Path: "/a"}, {Path: "/srv", ReadOnly: true}, {Path: "/b"}},
	} {
		if got := (Sharing{Mounts: mounts}).Boundary(); got != want {
			t.Errorf("%v: %q, not %q", mounts, got, want)
		}
	}
}

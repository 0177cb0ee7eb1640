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
			for _, folder := range []string{dir + "/other", home + "-too"} {
				m.check(t, os.MkdirAll(folder, 0o755))
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

func TestTheBoundaryIsSaid(t *testing.T) {
	for want, mounts := range map[string][]Mount{
		"the virtual machine reaches no file of this host":                                                             nil,
		"what runs in the virtual machine can read what is shared, and change no file of this host":                    {{"/srv", true}},
		"what is root in the virtual machine can change every file below /a, /b as you can, and no other of this host": {{"/a", false}, {"/srv", true}, {"/b", false}},
	} {
		if got := (Sharing{Mounts: mounts}).Boundary(); got != want {
			t.Errorf("%v: %q, not %q", mounts, got, want)
		}
	}
}

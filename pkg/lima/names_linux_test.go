package lima

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

// A share that has LINNET_HOME in a bind mount is refused if it can be written, and else covers it there,
// too; what is to be mounted into a container from there is refused.
func TestLinnetHomeIsNotSharedByABindMount(t *testing.T) {
	hosttest.Mounting(t, linnetHomeIsNotSharedByABindMount)
}

func linnetHomeIsNotSharedByABindMount(t *testing.T) {
	m := newMachine(t)
	user := m.o.Facts.Home
	home, above, other := filepath.Join(user, ".linnet"), filepath.Join(filepath.Dir(user), "above"), filepath.Join(filepath.Dir(user), "above/other")
	m.check(t, os.MkdirAll(filepath.Join(home, "lima"), 0o700))
	m.check(t, os.MkdirAll(other, 0o755))
	m.check(t, os.MkdirAll(filepath.Join(filepath.Dir(user), "inner"), 0o755))
	bind := func(from, to string) {
		m.check(t, unix.Mount(from, to, "", unix.MS_BIND, ""))
		t.Cleanup(func() { _ = unix.Unmount(to, unix.MNT_DETACH) })
	}
	bind(user, other)
	inner := filepath.Join(filepath.Dir(user), "inner")
	bind(filepath.Join(home, "lima"), inner)
	m.o.Layout.Home, m.o.Wanted.Accelerator = home, "tcg"
	by := func(share string) string {
		return "sharing " + share + ": LINNET_HOME (" + home + ") is in it by another name (" + other + "/.linnet), which the virtual machine must not write; " +
			"name the directories in it that are needed, or share it read-only (:ro), or set LINNET_HOME to a directory elsewhere"
	}
	for _, c := range []struct {
		mounts []string
		want   string
		hidden []string
	}{
		{[]string{"~:off", other}, by(other), nil},
		{[]string{"~:off", above}, by(above), nil},
		{[]string{"~:off", above + ":ro"}, "", []string{other + "/.linnet"}},
		{[]string{above + ":ro"}, "", []string{other + "/.linnet", home}},
		{[]string{inner + ":ro"}, "sharing " + inner + ": it belongs to linnet itself (LINNET_HOME is " + home + "); name another directory in vm.mounts", nil},
	} {
		o := m.o
		o.Wanted.Mounts = c.mounts
		machine := New(o)
		spec, err := machine.Want(t.Context())
		if err != nil != (c.want != "") || err != nil && told(err) != c.want {
			t.Errorf("%q: it is %q, not %q", c.mounts, told(err), c.want)
		}
		if err != nil {
			continue
		}
		slices.Sort(c.hidden)
		if !slices.Equal(machine.Sharing().Hidden, c.hidden) || !strings.Contains(spec.Config, strings.Join(c.hidden, `\n`)) {
			t.Errorf("%q: it hides %q, in\n%s", c.mounts, machine.Sharing().Hidden, spec.Config)
		}
	}
	o := m.o
	o.Wanted.Mounts = []string{above + ":ro"}
	g := NewGuest(o, "/nosuch/linnet")
	for _, path := range []string{other + "/.linnet/lima", other + "/.linnet/new", inner + "/new"} {
		if at, err := g.Path(path); err == nil || !strings.Contains(err.Error(), "belongs to linnet itself") {
			t.Errorf("%s is %+v, %v", path, at, err)
		}
	}
}

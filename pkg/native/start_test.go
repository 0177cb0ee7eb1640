package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/report"
)

func TestNoVariableOfTheUsersReachesTheAgent(t *testing.T) {
	got := host.Inherited([]string{"PATH=/bin", "TOKEN=secret", "HOME=/h", "LINNET_HOME=/x", "https_proxy=p", "SSH_AUTH_SOCK=/s", "TZ=UTC", "NOTIFY_SOCKET=/n", "odd"})
	if want := []string{"PATH=/bin", "HOME=/h", "https_proxy=p", "TZ=UTC"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// told is an error as a user reads it, but for the program's name.
func told(err error) string {
	var hinted *hint.Error
	if errors.As(err, &hinted) {
		return err.Error() + "\nhint: " + hinted.Fix
	}
	return fmt.Sprint(err)
}

func TestStartAnswer(t *testing.T) {
	l := host.Layout{Home: "/h"}
	for _, c := range []struct{ answer, want string }{
		{"ok", "<nil>"},
		{"", "starting the agent: it ended before it said anything\nhint: its log says more: /h/native/log/agent.log"},
		{"listening on /x: refused", "listening on /x: refused\nhint: its log says more: /h/native/log/agent.log"},
		{"engine.subnet: none is free\nhint: set another", "engine.subnet: none is free\nhint: set another"},
		{"writing /x: no space left on device", "writing /x: no space left on device\nhint: free some space, or set LINNET_HOME to a directory on another disk"},
	} {
		if got := told(startAnswer(c.answer, l)); got != c.want {
			t.Errorf("%q became %q, want %q", c.answer, got, c.want)
		}
	}
}

func TestHomeError(t *testing.T) {
	writable := "\nhint: set LINNET_HOME to a directory that you can write to"
	room := "\nhint: free some space there, or set LINNET_HOME to a directory on another disk"
	for _, c := range []struct {
		err  error
		want string
	}{
		{&os.PathError{Op: "mkdir", Path: "/h/native", Err: syscall.EROFS}, "writing to /h: read-only file system" + writable},
		{fmt.Errorf("locking: %w", &os.PathError{Op: "open", Path: "/h/x", Err: syscall.EACCES}), "writing to /h: permission denied" + writable},
		{&os.PathError{Op: "mkdir", Path: "/h", Err: syscall.ENOTDIR}, "writing to /h: not a directory" + writable},
		{&os.PathError{Op: "write", Path: "/h/x", Err: syscall.ENOSPC}, "writing to /h: no space left on device" + room},
		{syscall.EDQUOT, "writing to /h: disk quota exceeded" + room},
	} {
		if got := told(host.HomeError("/h", c.err)); got != c.want {
			t.Errorf("%v became %q, want %q", c.err, got, c.want)
		}
	}
}

func TestEachMissingPrerequisiteIsALineWithWhatToDo(t *testing.T) {
	well := facts{os: "linux", iptables: true, overlay: true, cgroups: true, libseccomp: true, libexec: "/x"}
	if got := missing(well); len(got) != 0 {
		t.Errorf("nothing is missing, but %q", got)
	}
	for _, c := range []struct {
		name string
		set  func(*facts)
		want string
	}{
		{"root", func(f *facts) { f.uid = 1000 }, "starting the engine: the native engine needs root (run it with sudo; a rootless engine is not there yet)"},
		{"iptables", func(f *facts) { f.iptables = false }, "starting the engine: iptables is missing (apt install iptables)"},
		{"libseccomp", func(f *facts) { f.libseccomp = false }, "starting the engine: libseccomp is missing (apt install libseccomp2)"},
		{"overlay", func(f *facts) { f.overlay = false }, "starting the engine: the kernel has no overlay filesystem (modprobe overlay, or set engine.snapshotter: native)"},
		{"cgroups", func(f *facts) { f.cgroups = false }, "starting the engine: no cgroup hierarchy is mounted (mount -t cgroup2 none /sys/fs/cgroup)"},
		{"components", func(f *facts) { f.components = []string{"bin/runc", "cni/bridge"} }, "starting the engine: bin/runc, cni/bridge not in /x (make deps)"},
		{"another system", func(f *facts) { f.os, f.uid, f.iptables = "darwin", 501, false }, "starting the engine: the native engine runs on Linux, and this is darwin (run linnet on Linux)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := well
			c.set(&f)
			if got := missing(f).Error(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	bare := missing(facts{os: "linux", uid: 1, components: []string{"bin/runc"}})
	if len(bare) != 6 || len(strings.Split(bare.Error(), "\n")) != 6 {
		t.Errorf("not all at once: %q", bare)
	}
}

func TestObserveNamesTheComponentsThatAreAbsent(t *testing.T) {
	libexec := t.TempDir()
	for _, p := range programs {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(libexec, p)), 0o755), os.WriteFile(filepath.Join(libexec, p), nil, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	l := host.Layout{Home: "/h", Libexec: libexec}
	program := filepath.Join(libexec, "elsewhere", "linnet")
	if got := observe(l, program).components; !slices.Equal(got, []string{"bin/linnet-agent"}) {
		t.Errorf("absent: %q", got)
	}
	if err := errors.Join(os.Remove(filepath.Join(libexec, "cni", "portmap")), os.WriteFile(l.Bin("linnet-agent"), nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	if got := observe(l, program).components; !slices.Equal(got, []string{"cni/portmap"}) {
		t.Errorf("absent: %q", got)
	}
}

// A host that cannot run an engine is told so before anything is written.
func TestNothingIsWrittenWhereNothingCanRun(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	l := host.Layout{Home: home, Libexec: "/nonexistent"}
	n := New(Options{
		Layout: l, Program: "/nonexistent/linnet", Report: report.New(report.Options{Err: t.Output(), Format: report.Plain}),
		Spec: func() (agent.Spec, error) { t.Error("asked for the specification"); return agent.Spec{}, nil },
	})
	var problems Prerequisites
	if err := n.Ready(t.Context()); !errors.As(err, &problems) {
		t.Errorf("got %v", err)
	}
	if ran, err := n.Stop(t.Context(), 0); ran || err != nil {
		t.Errorf("stopping what does not run: %v, %v", ran, err)
	}
	s, err := n.Status(t.Context())
	if err != nil || s.State != "stopped" || s.Backend != "native" || len(s.Daemons) != 0 {
		t.Errorf("status %+v, %v", s, err)
	}
	if _, err := os.Lstat(home); !os.IsNotExist(err) {
		t.Errorf("the home was made (%v)", err)
	}
}

//go:build linux

package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

func TestWhereDockersPathsAreInAVirtualMachine(t *testing.T) {
	spec := agent.Spec{
		Layout: host.Layout{Home: "/var/lib/linnet"}, GuestSocket: "/run/linnet/agent.sock",
		Outside: agent.Outside{Home: "/home/me/.linnet", Shares: []string{"/home/me", "/data"}},
	}
	links := map[string]string{"/home/me/out": "/etc", "/home/me/in": "/data/in", "/other": "/data", "/home/me/home": "/home/me/.linnet"}
	p := newGuestPaths(spec)
	p.resolve = func(path string) (string, string, error) {
		if path == "/home/me/loop" {
			return "", "", &fs.PathError{Op: "lstat", Path: path, Err: errors.New("too many links")}
		}
		for link, to := range links {
			if path == link || strings.HasPrefix(path, link+"/") {
				return to + strings.TrimPrefix(path, link), "", nil
			}
		}
		return path, path, nil
	}
	const (
		socket   = "/var/lib/linnet/docker.sock"
		unshared = ": it is in no directory that the virtual machine shares\nhint: add "
		settings = " to vm.mounts in /home/me/.linnet/linnet.yaml, then: linnet vm restart"
		kept     = ": it belongs to linnet itself, and the virtual machine does not see /home/me/.linnet\nhint: keep it elsewhere"
	)
	for path, want := range map[string]string{
		"/home/me":                         "/home/me",
		"/home/me/src/":                    "/home/me/src/",
		"/home/me/not/yet":                 "/home/me/not/yet",
		"/data/x":                          "/data/x",
		"/home/me/in/x":                    "/home/me/in/x",
		"/other/x":                         "/other/x",
		"/sys":                             "/sys",
		"/sys/fs/cgroup":                   "/sys/fs/cgroup",
		"/proc":                            "/proc",
		"/dev/fuse":                        "/dev/fuse",
		"/lib/modules":                     "/lib/modules",
		"/etc/localtime":                   "/etc/localtime",
		"/run/host-services/ssh-auth.sock": "/run/host-services/ssh-auth.sock",
		"/var/lib/linnet/native/docker/volumes/v/_data": "/var/lib/linnet/native/docker/volumes/v/_data",
		"/home/me/.linnet/docker.sock":                  socket,
		"/home/me/.linnet/../.linnet/docker.sock":       socket,
		"/var/run/docker.sock":                          socket,
		"/run/docker.sock":                              socket,
		socket:                                          socket,
		"/tmp":                                          "!/tmp" + unshared + "/tmp" + settings,
		"/home/meadow":                                  "!/home/meadow" + unshared + "/home/meadow" + settings,
		"/":                                             "!/" + unshared + "/" + settings,
		"/home/me/out/passwd":                           "!/home/me/out/passwd" + unshared + "/home/me/out/passwd" + settings,
		"/etc/passwd":                                   "!/etc/passwd" + unshared + "/etc/passwd" + settings,
		"/sysx":                                         "!/sysx" + unshared + "/sysx" + settings,
		"/home/me/../../etc":                            "!/home/me/../../etc" + unshared + "/etc" + settings,
		"/var/lib/linnet/native/containerd":             "!/var/lib/linnet/native/containerd" + unshared + "/var/lib/linnet/native/containerd" + settings,
		"/home/me/.linnet":                              "!/home/me/.linnet" + kept,
		"/home/me/.linnet/vm":                           "!/home/me/.linnet/vm" + kept,
		"/home/me/home/vm":                              "!/home/me/home/vm" + kept,
		"/home/me/loop":                                 "!/home/me/loop: /home/me/loop: too many links\nhint: check the spelling of the path",
	} {
		got, err := p.find(path)
		if err != nil {
			got = "!" + strings.Replace(hint.Format(err.Error(), hint.Of(err)), " is not visible to the engine", "", 1)
		}
		if got != want {
			t.Errorf("%s\n got %q\nwant %q", path, got, want)
		}
	}
}

func TestDockersSocketIsNamedAndNothingElseReplaced(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "run", "docker.sock")
	for range 2 { // by the next agent, too
		if err := linkSocket(name, "/there/docker.sock"); err != nil {
			t.Fatal(err)
		}
	}
	if to, err := os.Readlink(name); err != nil || to != "/there/docker.sock" {
		t.Errorf("%q, %v", to, err)
	}
	if err := linkSocket(name, "/elsewhere/docker.sock"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another's: %v", err)
	}
}

package lima

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

// LINNET_HOME is found by each of its names: what is the same directory, and what is mounted, is made up.
func TestADirectoryIsKnownByEachOfItsNames(t *testing.T) {
	const home = "/home/a/.linnet"
	disk := func(point, root string) host.Mount { return host.Mount{Point: point, Device: "8:1", Root: root} }
	plain := func(p string) string { return p }
	prefix := func(from, to string) func(string) string {
		return func(p string) string {
			if below(p, from) {
				return filepath.Join(to, strings.TrimPrefix(p, from))
			}
			return p
		}
	}
	for _, c := range []struct {
		name   string
		really func(string) string // what a path is
		mounts []host.Mount
		path   string // a share, or what is to be mounted
		inside bool
		others []string
	}{
		{"the home", plain, nil, "/home/a", false, nil},
		{"LINNET_HOME", plain, nil, home, true, nil},
		{"what is in it and is not there", plain, nil, home + "/none", true, nil},
		{"what looks alike", plain, nil, home + "-too", false, nil},
		{"another spelling", strings.ToLower, nil, "/home/a/.LINNET", true, []string{"/home/a/.LINNET"}},
		{"a file by another spelling", strings.ToLower, nil, "/HOME/a/.Linnet/none", true, nil},
		{"the home by another spelling", strings.ToLower, nil, "/Home/a", false, []string{"/Home/a/.linnet"}},
		{"a bind mount of the home", prefix("/mnt/b", "/home/a"), nil, "/mnt/b", false, []string{"/mnt/b/.linnet"}},
		{"a bind mount of what is above", prefix("/mnt/b", "/home"), nil, "/mnt/b", false, []string{"/mnt/b/a/.linnet"}},
		{"what is in a bind mount", prefix("/mnt/b", "/home"), nil, "/mnt/b/a", false, []string{"/mnt/b/a/.linnet"}},
		{"beside it in a bind mount", prefix("/mnt/b", "/home"), nil, "/mnt/b/b", false, nil},
		{"a firmlink", prefix("/System/Volumes/Data", ""), nil, "/System/Volumes/Data", false, []string{"/System/Volumes/Data/home/a/.linnet"}},
		{"above a bind mount", prefix("/mnt/b", "/home/a"), []host.Mount{disk("/", "/"), disk("/mnt/b", "/home/a")}, "/mnt", false, []string{"/mnt/b/.linnet"}},
		{"what the home is a bind mount of", prefix("/data/users", "/home"), []host.Mount{disk("/", "/"), disk("/home", "/data/users")}, "/data", false, []string{"/data/users/a/.linnet"}},
		{"a bind mount of what is in it", prefix("/mnt/b", home+"/lima"), []host.Mount{disk("/", "/"), disk("/mnt/b", home+"/lima")}, "/mnt/b/none", true, nil},
		{"what is mounted over it", plain, []host.Mount{disk("/", "/"), disk("/mnt/b", "/home/a"), {Point: "/mnt/b", Device: "0:5", Root: "/"}}, "/mnt", false, nil},
	} {
		n := names{mounts: c.mounts, same: func(a, b string) bool {
			return filepath.Base(a) != "none" && c.really(a) == c.really(b)
		}}
		if inside := n.inside(c.path, home); inside != c.inside {
			t.Errorf("%s: inside it: %v", c.name, inside)
		}
		if others := n.others(c.path, home); !slices.Equal(others, c.others) {
			t.Errorf("%s: it has %q", c.name, others)
		}
	}
	// One that is to be made is found, too.
	absent := names{same: func(a, b string) bool { return filepath.Base(a) != ".linnet" && prefix("/mnt/b", "/home")(a) == b }}
	if others := absent.others("/mnt/b/a", home); !slices.Equal(others, []string{"/mnt/b/a/.linnet"}) {
		t.Errorf("before it is there: %q", others)
	}
}

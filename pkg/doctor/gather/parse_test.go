package gather

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/linnet-dev/linnet/pkg/doctor"
)

func fixture(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLocksAreRead(t *testing.T) {
	want := map[file]int{{0xfd, 0x0a, 9001}: 4242}
	if got := parseLocks(fixture(t, "locks")); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func TestMemoryIsRead(t *testing.T) {
	total, available := parseMemory(fixture(t, "meminfo"))
	if total != 16303428*1024 || available != 8204112*1024 {
		t.Errorf("%d, %d", total, available)
	}
}

func TestSubordinateIDsAreRead(t *testing.T) {
	for user, want := range map[[2]string]int64{{"alice", "1"}: 65541, {"bob", "1"}: 1000, {"carol", "1000"}: 10, {"dave", "2"}: 0} {
		if got := parseSubIDs(fixture(t, "subuid"), user[0], user[1]); got != want {
			t.Errorf("%v has %d, want %d", user, got, want)
		}
	}
}

func TestNameServersAreRead(t *testing.T) {
	want := []doctor.Server{{Address: "192.0.2.53"}, {Address: "2001:db8::53"}, {Address: "192.0.2.55"}}
	if got := parseServers(fixture(t, "resolv.conf")); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestControlGroupsAreRead(t *testing.T) {
	for _, want := range []string{"v1", "v2", "hybrid"} {
		if got := parseCGroups(fixture(t, "mountinfo."+want)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := parseCGroups("30 1 8:1 / / rw - ext4 /dev/cgroup rw\n"); got != "none" {
		t.Errorf("%s", got)
	}
	if got := parseControllers(fixture(t, "cgroups")); !slices.Equal(got, []string{"cpuset", "cpu", "pids"}) {
		t.Errorf("%v", got)
	}
}

func TestLimitsAreRead(t *testing.T) {
	text := fixture(t, "limits")
	for name, want := range map[string][2]int64{"Max open files": {1024, 524288}, "Max processes": {63432, -1}, "Max nothing": {0, 0}} {
		if soft, hard := parseLimit(text, name); soft != want[0] || hard != want[1] {
			t.Errorf("%s: %d, %d", name, soft, hard)
		}
	}
	for _, c := range [][3]int64{{0, 0, 0}, {0, 5, 5}, {5, 0, 5}, {-1, 5, 5}, {5, -1, 5}, {4, 5, 4}, {-1, -1, -1}, {-1, 0, -1}} {
		if got := narrower(c[0], c[1]); got != c[2] {
			t.Errorf("of %d and %d the narrower is %d, not %d", c[0], c[1], c[2], got)
		}
	}
}

func TestListsOfTheKernelAreRead(t *testing.T) {
	filesystems, builtin := fixture(t, "filesystems"), fixture(t, "modules.builtin")
	for _, c := range []struct {
		text, name string
		want       bool
	}{{filesystems, "overlay", true}, {filesystems, "ext4", true}, {filesystems, "xt4", false}, {builtin, "br_netfilter", true}, {builtin, "netfilter", false}, {"", "overlay", false}} {
		if got := isListed(c.text, c.name); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

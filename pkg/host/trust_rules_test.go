//go:build unix

package host

import (
	"os/user"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAPrivateGroupHasOneMember(t *testing.T) {
	const groups = "root:x:0:\nada:x:1000:\nbob:x:1001:bob\nstaff:x:50:\neve:x:1002:eve,bob\ndan:x:1003:\nfay:x:1004:\nalias:x:1004:bob\ntorn\n"
	const users = "root:x:0:0:::\nada:x:1000:1000:::\nada2:x:1000:1000:::\nbob:x:1001:1001:::\neve:x:1002:1002:::\n" +
		"dan:x:1003:1003:::\nguest:x:2003:1003:::\nfay:x:1004:1004:::\ntorn\n"
	for _, c := range []struct {
		name, gid string
		want      bool
	}{
		{"ada", "1000", true},
		{"bob", "1001", true},
		{"ada", "50", false},
		{"eve", "1002", false}, // bob is in it
		{"bob", "1000", false},
		{"ada", "7", false},
		{"dan", "1003", false}, // guest's own group, too
		{"fay", "1004", false}, // a second line has bob
	} {
		uid := map[string]string{"ada": "1000", "bob": "1001", "eve": "1002", "dan": "1003", "fay": "1004"}[c.name]
		if got := isPrivate(groups, users, &user.User{Username: c.name, Uid: uid, Gid: c.gid}); got != c.want {
			t.Errorf("%s of %s: %v", c.gid, c.name, got)
		}
	}
}

// Every command checks thirty directories, and looking for a user's name may take as long as a server does.
func TestADirectoryThatIsRightTakesNoLookup(t *testing.T) {
	dir := t.TempDir()
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		t.Fatal(err)
	}
	rules := own()
	if n := testing.AllocsPerRun(10, func() {
		if err := rules.check(dir, &st, false); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations: a text was made that is not read", n)
	}
}

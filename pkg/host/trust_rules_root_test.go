//go:build e2e && unix

package host

import (
	"os/user"
	"strconv"
	"testing"
)

// It is about root: make test-unit runs it.
func TestRootGoesByNoGroup(t *testing.T) {
	u, err := user.Lookup("daemon") // a group of that name has no other member
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	if privateGroup(uint32(uid), uint32(gid)) {
		t.Errorf("group %d of user %d counts as the user's own", gid, uid)
	}
}

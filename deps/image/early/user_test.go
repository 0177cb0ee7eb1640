//go:build e2e && linux

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A home made twice is the same, and what its user changed in it stays.
// Only root can give files away: make test-unit runs it.
func TestTheUserIsMadeTwice(t *testing.T) {
	root, c := t.TempDir(), testCIData(t)
	for path, text := range map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/bash\nada:x:1000:1000::/old:/bin/sh\n", "etc/skel/.profile": "as installed\n",
	} {
		if err := write(filepath.Join(root, path), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	home := root + "/home/ada.guest"
	for range 2 {
		if err := makeUser(root, c); err != nil {
			t.Fatal(err)
		}
		check(t, root+"/etc/passwd", "root:x:0:0::/root:/bin/bash\nada:x:501:501:Ada  of Lovelace:/home/ada.guest:/bin/bash\n", 0o644)
		check(t, root+"/etc/shadow", "ada:*:20000:0:99999:7:::\n", 0o640)
		check(t, root+"/etc/sudoers.d/lima", "ada ALL=(ALL) NOPASSWD:ALL\n", 0o440)
		check(t, home+"/.ssh/authorized_keys", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFirst lima\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAISecond ada\n", 0o600)
		if err := os.WriteFile(home+"/.profile", []byte("hers\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(root + "/run/host-services"); err != nil || info.Sys().(*syscall.Stat_t).Uid != 501 {
		t.Errorf("the place of the host's services: %v, %v", info, err)
	}
	check(t, home+"/.profile", "hers\n", 0o644)
}

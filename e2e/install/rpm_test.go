//go:build e2e && linux

package install_test

import (
	"runtime"
	"strings"
	"testing"
)

// rpmRoot is where the rpm is installed on a Debian: what its dependencies name has other names there, so that rpm resolves none.
const rpmRoot = "/srv/root"

// rpmRequires are what the rpm depends on, by the names of Fedora and its kin.
var rpmRequires = []string{"ca-certificates", "iptables", "kmod", "libseccomp", "glibc >= "}

// rpmDirs are directories that Fedora's own packages have, and the package's files are in. Those are not linnet's to remove.
var rpmDirs = []string{
	"/usr/bin", "/usr/libexec", "/usr/share/bash-completion/completions", "/usr/share/doc", "/usr/share/fish/vendor_completions.d",
	"/usr/share/man/man1", "/usr/share/zsh/site-functions", "/var/tmp",
}

// TestRPM installs, updates and removes the package in a root that is empty but for a shell, which the package's script is run by.
func TestRPM(t *testing.T) {
	m := newMachine(t, "bookworm")
	needs(t, m, append([]string{"rpm"}, archiveNeeds...)...)
	m.bring(t, "/bin/busybox", rpmRoot+"/bin/sh")
	m.bring(t, rpm(t, first), "root/first.rpm")
	m.bring(t, rpm(t, later), "root/later.rpm")
	for _, dir := range rpmDirs {
		m.must(t, own, "mkdir", "-p", rpmRoot+dir)
	}
	m.must(t, own, "rpm", "--root", rpmRoot, "--initdb")
	before := observe(t, m)

	requires := m.must(t, own, "rpm", "--query", "--package", "--requires", "/root/first.rpm").out
	for _, name := range rpmRequires {
		if !strings.Contains("\n"+requires, "\n"+name) {
			t.Errorf("the package does not require %s:\n%s", name, requires)
		}
	}
	r := m.must(t, own, "rpm", "--root", rpmRoot, "--nodeps", "--install", "/root/first.rpm")
	t.Logf("rpm --install: %.1f s", r.took.Seconds())
	// The programs find their components beside them, wherever that is. The C library and iptables are Debian's.
	m.must(t, own, "ln", "-s", rpmRoot+"/usr/bin/linnet", "/usr/local/bin/linnet")
	before["file /usr/local/bin/linnet"] = true
	firstContainer(t, m, "rpm")

	r = m.must(t, own, "rpm", "--root", rpmRoot, "--nodeps", "--upgrade", "/root/later.rpm")
	if strings.Contains(r.err, "linnet uninstall") {
		t.Errorf("an update says how linnet is removed:\n%s", r.err)
	}
	holds(t, m)
	m.linnet(t, "engine", "restart")
	holds(t, m)
	if v := versionsOf(t, m); v.Agent != later || len(v.Problems) > 0 {
		t.Errorf("the versions are %+v, want %s and no problems", v, later)
	}

	r = m.must(t, own, "linnet", "uninstall", "--force")
	if !strings.Contains(r.err, "dnf remove linnet") {
		t.Errorf("uninstall does not say who removes the programs:\n%s", r.err)
	}
	r = m.must(t, own, "rpm", "--root", rpmRoot, "--nodeps", "--erase", "linnet")
	if !strings.Contains(r.out+r.err, "hint: linnet uninstall removes that too") {
		t.Errorf("a removal does not say what stays:\n%s%s", r.out, r.err)
	}
	removeApp(t, m)
	compare(t, before, observe(t, m), append(shared, left{`^file /root/\.rpmdb(/|$)`, "rpm's own database, where Debian's rpm has it"})...)
}

func rpm(t *testing.T, version string) string {
	return released(t, version, "linnet-*."+map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]+".rpm")
}

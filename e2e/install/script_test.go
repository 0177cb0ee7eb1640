//go:build e2e && linux

package install_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// archiveNeeds are the packages that docs/install.md says an archive needs on Linux, and what fetches it.
var archiveNeeds = []string{"iptables", "libseccomp2", "kmod", "wget"}

// needs installs packages of Debian.
func needs(t *testing.T, m *machine, names ...string) {
	t.Helper()
	m.must(t, theHosts, "apt-get", "update")
	m.must(t, theHosts, append([]string{"apt-get", "install", "--yes", "--no-install-recommends"}, names...)...)
}

// install.sh brings the archive from a server, and linnet uninstall takes all of it away.
func TestScript(t *testing.T) {
	for _, suite := range suites {
		t.Run(suite, func(t *testing.T) {
			m := newMachine(t, suite)
			needs(t, m, archiveNeeds...)
			script := released(t, first, "install.sh")
			archive := released(t, first, "linnet-*-linux-"+runtime.GOARCH+".tar.gz")
			m.bring(t, script, "root/install.sh")
			before := observe(t, m)

			server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(archive))))
			defer server.Close()
			r := m.must(t, theHosts, "env", "LINNET_INSTALL_URL="+server.URL, "sh", "/root/install.sh")
			if want := "linnet: " + strings.TrimPrefix(first, "v") + " is installed: /usr/local/bin/linnet\n"; !strings.Contains(r.err, want) {
				t.Errorf("the script does not say %q:\n%s", want, r.err)
			}
			t.Logf("%s: install.sh %.1f s", suite, r.took.Seconds())
			firstContainer(t, m, suite)

			r = m.must(t, own, "linnet", "uninstall", "--force")
			if want := "linnet is removed from /usr/local\n"; !strings.HasSuffix(r.err, want) {
				t.Errorf("uninstall does not say %q:\n%s", want, r.err)
			}
			removeApp(t, m)
			compare(t, before, observe(t, m), shared...)
		})
	}
}

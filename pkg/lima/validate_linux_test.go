//go:build e2e

package lima

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The real limactl finds nothing wrong with what is rendered, and expands no template in it.
// It refuses the superuser; then it is run as the user nobody. make test-vm-smoke runs it, which builds limactl.
func TestLimactlAcceptsEachConfiguration(t *testing.T) {
	real := filepath.Join("..", "..", "libexec", "linnet", "bin", "limactl")
	if _, err := os.Stat(real); err != nil {
		t.Fatalf("there is no limactl: make image: %v", err)
	}
	dir, err := os.MkdirTemp("", "lima-validate-") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	limactl := filepath.Join(dir, "limactl")
	if out, err := exec.Command("cp", real, limactl).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	attributes := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		attributes.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name := range variants() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name+".yaml")
			text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
			run := func(args ...string) string {
				cmd := exec.Command(limactl, append(global[:2:2], args...)...)
				cmd.Env = []string{"HOME=" + dir, "LIMA_HOME=" + filepath.Join(dir, "lima"), "PATH=" + os.Getenv("PATH"), "USER=nobody"}
				cmd.Dir, cmd.SysProcAttr = dir, attributes
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("limactl %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				return string(out)
			}
			if out := run("validate", path); !strings.Contains(out, "OK") || strings.Contains(out, `"level":"error"`) {
				t.Errorf("it says:\n%s", out)
			}
			filled := run("validate", "--fill", path)
			if !strings.Contains(filled, `/etc/{{x}}`) || strings.Contains(string(text), "/srv/{{") && !strings.Contains(filled, "/srv/{{x}}\n") {
				t.Errorf("a template was expanded:\n%s", filled)
			}
		})
	}
}

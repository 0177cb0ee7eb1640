package emulate

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

func here(ctx context.Context, argv []string, stdout io.Writer) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout = stdout
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// The program of this very processor is run as any other is, and has to say the truth.
func TestThisMachineAnswers(t *testing.T) {
	a, ok := Find(runtime.GOARCH)
	if !ok {
		t.Skip("no program for " + runtime.GOARCH)
	}
	dir := t.TempDir()
	f, err := Ask(t.Context(), Question{Try: Architectures(), Dirs: []string{"/nonexistent", dir, "/var/tmp"}}, here)
	if err != nil {
		t.Fatal(err)
	}
	got := Judge(f, a)
	if found, _ := Find(f.Machine); found.Name != a.Name || got.Runs != Natively || !got.Verified || got.Setuid != Yes {
		t.Errorf("%s is %+v by %+v", a.Name, got, f)
	}
	if _, ran, _ := f.trial(a); !ran {
		t.Errorf("the program of this processor did not run: %+v", f)
	}
	if f.User != os.Geteuid() {
		t.Errorf("user %d asked, and %d is what the machine says", os.Geteuid(), f.User)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Without a shell nothing can be asked.
func TestAQuestionThatCannotBePut(t *testing.T) {
	_, err := Ask(t.Context(), Question{}, func(context.Context, []string, io.Writer) error { return errors.New("no shell") })
	if err == nil || err.Error() != "asking the machine what it emulates: no shell" {
		t.Errorf("got %v", err)
	}
}

// Each program exits with its user's id, also under QEMU where that is installed.
func TestProgramsUnderQEMU(t *testing.T) {
	for _, a := range Architectures() {
		t.Run(a.Name, func(t *testing.T) {
			emulator, err := exec.LookPath("qemu-" + a.Machine + "-static")
			if err != nil {
				if emulator, err = exec.LookPath("qemu-" + a.Machine); err != nil {
					t.Skip("qemu-" + a.Machine + " is not installed")
				}
			}
			dir, want := t.TempDir(), os.Geteuid()
			program := filepath.Join(dir, "p")
			if err := os.WriteFile(program, a.Program(), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), emulator, program)
			if want == 0 { // root's id is what a program that does nothing exits with, too
				want = 41
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 41, Gid: 41}}
				for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
					if err := os.Chmod(at, 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != want&0xff || len(out) > 0 {
				t.Errorf("exit code %d (%v), %q", code, err, out)
			}
		})
	}
}

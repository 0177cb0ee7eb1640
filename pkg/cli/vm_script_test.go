package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/host/hosttest"
	"github.com/linnet-dev/linnet/pkg/lima/limatest"
)

// ordinary is a user who exists nowhere and may do nothing: limactl refuses root, so where the
// tests run as root, the scripts' linnet does not.
const ordinary = 54321

// envUser names that user to linnet and machine; without it they stay who they are.
const envUser = "TEST_USER"

// dropRoot makes this process the ordinary user's if its script wants that.
func dropRoot() error {
	id, err := strconv.Atoi(os.Getenv(envUser))
	if err != nil || os.Geteuid() != 0 {
		return nil //nolint:nilerr // it is not asked for
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id))
}

// TestVMScripts runs testdata/vm: every line about the virtual machine that a user can meet, on
// a limactl that answers as the real one was recorded to. `exec machine` sets up what there is, and
// `guest` what is in a machine that runs.
func TestVMScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a thousand processes")
	}
	runVMScripts(t, "testdata/vm")
}

func runVMScripts(t *testing.T, scripts string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the recordings are of QEMU on Linux")
	}
	root, err := os.MkdirTemp("/tmp", "lnv-") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	bin := filepath.Join(root, "bin")
	if err := errors.Join(os.Chmod(root, 0o755), os.Mkdir(bin, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"linnet", "limactl", "machine", "nerdctl", "sudo"} {
		program, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := copyFile(program, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: scripts, WorkdirRoot: root, RequireExplicitExec: true, RequireUniqueNames: true,
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup:         func(env *testscript.Env) error { return setupMachine(env, bin) },
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"guest": startGuest, "serve": serveImage},
	})
}

// setupMachine gives a script a home, settings of a small machine, and a limactl with all that it
// needs. Nothing of this host is in PATH.
func setupMachine(env *testscript.Env, bin string) error {
	l := host.Layout{Home: filepath.Join(env.WorkDir, "home"), Libexec: filepath.Join(env.WorkDir, "libexec")}
	fake, err := limatest.Install(l, filepath.Join(bin, "limactl"))
	if err != nil {
		return err
	}
	env.Defer(func() { _ = fake.Close() })
	user := filepath.Join(env.WorkDir, "user")
	err = errors.Join(os.MkdirAll(user, 0o755), os.MkdirAll(l.Home, 0o755))
	if _, missing := os.Stat(l.Settings()); missing != nil {
		err = errors.Join(err, os.WriteFile(l.Settings(), []byte("vm: {cpus: 1, memory: 1GiB, disk: 10GiB, accelerator: tcg}\n"), 0o644))
	}
	for name, value := range map[string]string{
		"HOME": user, "USER": "ada", "LINNET_HOME": l.Home, "LINNET_LIBEXEC": l.Libexec,
		"PATH": bin + ":" + fake.Programs(), "PROGRAM": filepath.Join(bin, "linnet"), "GORACE": "atexit_sleep_ms=0", "LINNET_BACKEND": "lima",
	} {
		env.Setenv(name, value)
	}
	if os.Geteuid() == 0 {
		env.Setenv(envUser, strconv.Itoa(ordinary))
	}
	env.Values[testOf{}] = env.T()
	if text, readErr := os.ReadFile("../../docs/files.md"); readErr != nil {
		err = errors.Join(err, readErr)
	} else {
		paths := strings.Join(hosttest.Paths(string(text), l.ID()), "\n") + "\n"
		err = errors.Join(err, os.WriteFile(filepath.Join(env.WorkDir, "paths"), []byte(paths), 0o644))
	}
	return errors.Join(err, own(env.WorkDir))
}

// testOf is the key of a script's test among its values.
type testOf struct{}

// own gives a directory to the user whose linnet it is.
func own(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, ordinary, ordinary))
	})
}

// fakeMachine is the command machine: `put INSTANCE DISK` makes both be in a state that limatest
// knows, with the configuration that is there; `fail COMMAND REASON` makes limactl fail at a
// command as was recorded; `calls` lists what limactl was told to change.
func fakeMachine(args []string) error {
	f := limatest.Fake{Layout: host.Layout{Home: os.Getenv("LINNET_HOME"), Libexec: os.Getenv("LINNET_LIBEXEC")}}
	switch {
	case len(args) == 3 && args[0] == "put":
		config, err := os.ReadFile(filepath.Join(f.Layout.LimaInstance(), "lima.yaml"))
		if errors.Is(err, fs.ErrNotExist) {
			config, err = []byte("vmType: qemu\n"), nil
		}
		if args[1] == "stopped" {
			err = errors.Join(err, f.Close())
		}
		return errors.Join(err, f.Put(args[1], string(config), 10<<30, args[2]))
	case len(args) == 3 && args[0] == "fail":
		return f.Fail(args[1], args[2])
	case len(args) == 1 && args[0] == "calls":
		calls, err := f.Calls()
		fmt.Print(strings.Join(append(calls, ""), "\n"))
		return err
	}
	return fmt.Errorf("machine %q: what is that", args)
}

// runMachine is the command's main function.
func runMachine() int {
	if err := errors.Join(dropRoot(), fakeMachine(os.Args[1:])); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

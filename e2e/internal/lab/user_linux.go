package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// TestUser is the ordinary user that the suites in a virtual machine make, and run as:
// limactl refuses root.
const TestUser = "linnet-test"

// EnvPanics says how often the suite has the kernel of a virtual machine panic right after a build.
const EnvPanics = "LINNET_PANICS"

// AsUser runs this very program once more, as TestUser in its home, on a copy of what was
// built, and returns its exit code. make builds the targets first, or what a machine of another
// architecture takes (EnvArch), and prepare, unless it is
// nil, puts into the copy's directory what only root can make.
func AsUser(targets []string, prepare func(root string) error) int {
	code, err := asUser(targets, prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func asUser(targets []string, prepare func(root string) error) (int, error) {
	from := Root()
	if Arch() != runtime.GOARCH {
		from, targets = filepath.Join(from, "_output", "vm-"+Arch()), []string{"vm-tree", "ARCH=" + Arch()}
	}
	build := exec.Command("make", append([]string{"-s"}, targets...)...)
	build.Dir = Root()
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("make %s: %w", strings.Join(targets, " "), err)
	}
	u, err := testUser()
	if err != nil {
		return 0, err
	}
	// What a run that was killed has left.
	_ = exec.Command("pkill", "-KILL", "-u", u.Uid, "-f", "/tmp/ln-").Run()
	root := filepath.Join(u.HomeDir, "linnet")
	if err := publish(from, root, u); err != nil {
		return 0, err
	}
	if prepare != nil {
		if err := prepare(root); err != nil {
			return 0, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if err := run("cp", self, filepath.Join(root, "suite.test")); err != nil {
		return 0, err
	}
	cmd := exec.Command(filepath.Join(root, "suite.test"), suiteFlags(os.Args[1:])...)
	cmd.Dir, cmd.Env = u.HomeDir, suiteEnv(u, root)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if cmd.SysProcAttr, err = become(u); err != nil {
		return 0, err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		for s := range stop {
			_ = cmd.Process.Signal(s) // ended meanwhile
		}
	}()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// testUser makes the user, if there is none. It stays, as a cache does: nothing of it is
// needed, and what a suite makes in its home the suite removes.
func testUser() (*user.User, error) {
	if u, err := user.Lookup(TestUser); err == nil {
		return u, nil
	}
	if err := run("useradd", "--create-home", "--shell", "/bin/bash", TestUser); err != nil {
		return nil, err
	}
	return user.Lookup(TestUser)
}

// publish puts what was built where the user can read it; links where that is possible.
func publish(tree, root string, u *user.User) error {
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	parts := map[string]string{"bin": tree, "libexec": tree, "examples": Root()}
	if tree != Root() {
		parts["busybox"] = tree
	}
	for name, of := range parts {
		from, to := filepath.Join(of, name), filepath.Join(root, name)
		if exec.Command("cp", "-al", from, to).Run() == nil {
			continue
		}
		if err := errors.Join(os.RemoveAll(to), run("cp", "-a", "--sparse=always", from, to)); err != nil {
			return err
		}
	}
	// The directories are the user's, so that the suite may write beside what it runs; the files
	// stay root's.
	return run("find", root, "-type", "d", "-exec", "chown", u.Uid+":"+u.Gid, "{}", "+")
}

// suiteFlags drops the flags of go test that name files of its own.
func suiteFlags(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		return name == "test.testlogfile" || name == "test.gocoverdir" || name == "test.coverprofile"
	})
}

// suiteEnv is the suite's whole environment: of this one, only what says how often something is done.
func suiteEnv(u *user.User, root string) []string {
	return []string{
		"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username, "LANG=C.UTF-8",
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", envRoot + "=" + root, EnvPanics + "=" + os.Getenv(EnvPanics), EnvArch + "=" + os.Getenv(EnvArch),
	}
}

// become is how a process is started as the user, in all of the user's groups.
func become(u *user.User) (*syscall.SysProcAttr, error) {
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	var c syscall.Credential
	for i, text := range append([]string{u.Uid, u.Gid}, ids...) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, err
		}
		switch i {
		case 0:
			c.Uid = uint32(id)
		case 1:
			c.Gid = uint32(id)
		default:
			c.Groups = append(c.Groups, uint32(id))
		}
	}
	return &syscall.SysProcAttr{Credential: &c, Pdeathsig: syscall.SIGTERM}, nil
}

func run(argv ...string) error {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return nil
}

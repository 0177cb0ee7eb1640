// Package lab is the workbench of the real-engine suites: an engine in a home of its own,
// the finished linnet as a user runs it, an image to run, and the evidence kept when a test
// fails. It starts programs and asserts nothing.
package lab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Timeout bounds one command of a test; a test that waits for a state uses it too. A suite
// whose engine is emulated sets more.
var Timeout = 2 * time.Minute

// envRoot says where bin and libexec are, for a suite that runs as another user.
const envRoot = "LINNET_LAB_ROOT"

// Root is the directory of the repository, or of the copy of what was built there.
func Root() string {
	if root := os.Getenv(envRoot); root != "" {
		return root
	}
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(file))))
}

// EnvArch is the GOARCH of the machine that the suite's engine runs in, where that is not this host's.
const EnvArch = "LINNET_LAB_ARCH"

// Arch is the GOARCH of the engine's machine.
func Arch() string { return cmp.Or(os.Getenv(EnvArch), runtime.GOARCH) }

// busybox is Debian's static busybox for the engine's machine.
func busybox() ([]byte, error) {
	path := "/bin/busybox"
	if Arch() != runtime.GOARCH {
		path = filepath.Join(Root(), "busybox") // e2e/vm/tree.sh
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the static busybox is missing (apt install busybox-static): %w", err)
	}
	return text, nil
}

// Main builds linnet and its components (nothing happens when they are there) and runs the
// tests of a package.
func Main(m *testing.M) int {
	if !builtAsRoot() {
		return 1
	}
	defer CloseShared()
	return m.Run()
}

// builtAsRoot builds linnet and its components, and says why not.
func builtAsRoot() bool {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the native real-engine suite needs root: sudo make test")
		return false
	}
	build := exec.Command("make", "-s", "build", "deps")
	build.Dir = Root()
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "make build deps:", err)
		return false
	}
	return true
}

// CloseShared ends the engine that Shared made, if it did.
func CloseShared() { shared.close() }

// Engine is an engine in a home of its own.
type Engine struct {
	// Home is its LINNET_HOME, short enough for sockets, and empty at first. User is the
	// HOME of the commands.
	Home, User string
	// Env is added to the environment of every command.
	Env []string
	// Netns, when set, is the network namespace (a file) that every command runs in.
	Netns string
	// Tree, when set, has the bin/linnet and the libexec that run, in place of the suite's.
	Tree string

	dir string // which has all of it
}

// New makes a home. When the test ends, the engine is reset, and if the test failed, its
// logs are kept under _output/e2e.
func New(t testing.TB) *Engine {
	t.Helper()
	e, err := newEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the engine's logs are kept in %s", e.keep(t.Name()))
		}
		if err := e.remove(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Open makes a home outside of any test; done resets the engine and removes the home.
func Open() (e *Engine, done func(), err error) { return OpenTree("") }

// OpenTree is Open for the linnet of another tree, which has bin and libexec.
func OpenTree(tree string) (e *Engine, done func(), err error) {
	e, err = newEngine()
	if err != nil {
		return nil, nil, err
	}
	e.Tree = tree
	return e, func() {
		if err := e.remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}, nil
}

var shared sharedEngine

type sharedEngine struct {
	once   sync.Once
	engine *Engine
	err    error
}

func (s *sharedEngine) close() {
	if s.engine != nil {
		if err := s.engine.remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// Shared is one engine for all tests of a package that do not care what else runs in it.
// The test's own containers are the test's to remove.
func Shared(t testing.TB) *Engine {
	t.Helper()
	shared.once.Do(func() { shared.engine, shared.err = newEngine() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the engine's logs are kept in %s", shared.engine.keep(t.Name()))
		}
	})
	return shared.engine
}

func newEngine() (*Engine, error) {
	dir, err := os.MkdirTemp("/tmp", "ln-")
	if err != nil {
		return nil, err
	}
	e := &Engine{Home: filepath.Join(dir, "home"), User: filepath.Join(dir, "user"), dir: dir}
	return e, os.MkdirAll(e.User, 0o700)
}

func (e *Engine) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	if out, err := e.Command(ctx, "engine", "reset", "--force").CombinedOutput(); err != nil {
		return fmt.Errorf("resetting %s: %w\n%s", e.Home, err, out)
	}
	return os.RemoveAll(e.dir)
}

// keep copies the engine's logs to where they outlive the test.
func (e *Engine) keep(test string) string {
	to := filepath.Join(Root(), "_output", "e2e", strings.ReplaceAll(test, "/", "_"))
	if os.RemoveAll(to) != nil || os.MkdirAll(to, 0o755) != nil {
		return e.Home
	}
	logs, _ := filepath.Glob(filepath.Join(e.Home, "native", "log", "*"))
	for _, log := range logs {
		if text, err := os.ReadFile(log); err == nil {
			_ = os.WriteFile(filepath.Join(to, filepath.Base(log)), text, 0o644)
		}
	}
	return to
}

// Linnet is the finished client.
func Linnet() string { return filepath.Join(Root(), "bin", "linnet") }

// Linnet is the client of this engine.
func (e *Engine) Linnet() string {
	if e.Tree != "" {
		return filepath.Join(e.Tree, "bin", "linnet")
	}
	return Linnet()
}

// Environ is the environment of the engine's commands.
func (e *Engine) Environ() []string {
	env := []string{}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "LINNET_") && !strings.HasPrefix(pair, "HOME=") && !strings.HasPrefix(pair, "NERDCTL_TOML=") {
			env = append(env, pair)
		}
	}
	return append(append(env, "LINNET_HOME="+e.Home, "HOME="+e.User), e.Env...)
}

// InNetns prepares a command in a network namespace; none when netns is empty.
func InNetns(ctx context.Context, netns string, argv ...string) *exec.Cmd {
	if netns != "" {
		argv = append([]string{"nsenter", "--net=" + netns}, argv...)
	}
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// Command prepares a linnet command line.
func (e *Engine) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := InNetns(ctx, e.Netns, append([]string{e.Linnet()}, args...)...)
	cmd.Env = e.Environ()
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Nerdctl prepares a command line of the pinned nerdctl alone, pointed at this engine: what
// linnet is measured against.
func (e *Engine) Nerdctl(ctx context.Context, args ...string) *exec.Cmd {
	bin := filepath.Join(Root(), "libexec", "linnet", "bin")
	cmd := InNetns(ctx, e.Netns, append([]string{filepath.Join(bin, "nerdctl")}, args...)...)
	cmd.Env = append(e.Environ(),
		"NERDCTL_TOML="+filepath.Join(e.Home, "native", "etc", "nerdctl.toml"),
		"BUILDKIT_HOST=unix://"+filepath.Join(e.Home, "native", "run", "buildkitd.sock"),
		"PATH="+bin+":"+os.Getenv("PATH"))
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Result is what a command did.
type Result struct {
	Out, Err string
	Code     int
}

// Run runs a linnet command line to its end, whatever that is.
func (e *Engine) Run(t testing.TB, args ...string) Result {
	t.Helper()
	return e.RunIn(t, nil, args...)
}

// RunIn is Run with something on standard input.
func (e *Engine) RunIn(t testing.TB, stdin io.Reader, args ...string) Result {
	t.Helper()
	// Without t's cancellation: clean-up runs commands too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), Timeout)
	defer cancel()
	cmd := e.Command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("linnet %q: %v", args, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("linnet %q did not end within %v\n%s%s", args, Timeout, &out, &errs)
	}
	return Result{Out: out.String(), Err: errs.String(), Code: cmd.ProcessState.ExitCode()}
}

// Must runs a command that has to succeed and returns its standard output without the last
// newline.
func (e *Engine) Must(t testing.TB, args ...string) string {
	t.Helper()
	r := e.Run(t, args...)
	if r.Code != 0 {
		t.Fatalf("linnet %q: exit code %d\n%s%s", args, r.Code, r.Out, r.Err)
	}
	return strings.TrimSuffix(r.Out, "\n")
}

// Busybox builds the test image (Debian's static busybox with all its applets in /bin) in
// the engine and returns its name.
func (e *Engine) Busybox(t testing.TB) string {
	t.Helper()
	const name = "linnet-test/busybox"
	if r := e.Run(t, "image", "inspect", name); r.Code == 0 {
		return name
	}
	// Below the home of the commands, which every kind of engine sees.
	dir, err := os.MkdirTemp(e.User, "busybox-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "busybox"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	const dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n" +
		"RUN mkdir -p /tmp /etc /root && chmod 1777 /tmp && echo root:x:0:0:root:/root:/bin/sh > /etc/passwd\nCMD [\"sh\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "build", "-q", "-t", name, dir)
	return name
}

// Eventually polls until ok, and fails the test with what was awaited when it takes longer
// than Timeout.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Timeout)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", Timeout, what)
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a poll for a state, with a deadline
	}
}

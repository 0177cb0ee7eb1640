package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/deps"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/lima/limatest"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/settings"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// The test binary is linnet with the client's other programs beside it, and it is the nerdctl that
// linnet runs: a real process that tells what it was given.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		string(route.Client):  func() { os.Exit(runLinnet()) },
		string(route.Build):   func() { os.Exit(runLinnet()) },
		string(route.Compose): func() { os.Exit(runLinnet()) },
		string(route.Lint):    func() { os.Exit(runLinnet()) },

		"nerdctl": func() { os.Exit(fakeNerdctl()) },
		"limactl": func() { os.Exit(limatest.Main()) },
		"machine": func() { os.Exit(runMachine()) },

		"docker": func() { os.Exit(fakeDocker()) },
		"sudo":   func() { os.Exit(fakeSudo()) },

		"docker-credential-fake": func() { os.Exit(fakeHelper()) },
	})
}

// runLinnet is linnet, or what it has become, as the user that the script wants.
func runLinnet() int {
	program, err := os.Executable() // all of them are called linnet
	if err := errors.Join(err, dropRoot()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitError
	}
	var extensions []Extension
	name := route.Program(filepath.Base(program))
	switch name {
	case route.Build:
		extensions = append(extensions, fakeExtension(string(name), "build", "cache"))
	case route.Compose:
		extensions = append(extensions, fakeExtension(string(name), "compose"))
	case route.Lint:
		extensions = append(extensions, fakeExtension(string(name), "lint"))
	}
	a := newApp(context.Background(), name, os.Args[1:], streams.System(), extensions...)
	a.systemSocket = cmp.Or(os.Getenv("TEST_SYSTEM_SOCKET"), a.systemSocket)
	a.systemRoot = os.Getenv("TEST_SYSTEM_ROOT")
	return a.main()
}

// fakeExtension has commands that tell which program they are of and what they were given.
func fakeExtension(program string, names ...string) Extension {
	return func(env *Env) (all []*cobra.Command) {
		for _, name := range names {
			all = append(all, &cobra.Command{
				Use: name, Short: name + " of " + program, DisableFlagParsing: true,
				RunE: func(_ *cobra.Command, args []string) error {
					_, err := fmt.Fprintf(env.Streams().Out, "%s: %s %q, progress %s, global %q\n", program, name, args, env.Progress(), env.Global())
					return err
				},
				ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
					return []cobra.Completion{"from-" + program}, cobra.ShellCompDirectiveNoFileComp
				},
			})
		}
		return all
	}
}

// fakeNerdctl prints its arguments, its working directory, the variables named in NERDCTL_FAKE_SHOW
// and, when NERDCTL_FAKE_STDIN is set, its standard input. NERDCTL_FAKE_EXIT is its exit code.
func fakeNerdctl() int {
	for _, arg := range os.Args[1:] {
		fmt.Printf("arg %s\n", strconv.Quote(arg))
	}
	dir, _ := os.Getwd()
	fmt.Printf("dir %s\n", dir)
	for _, name := range strings.Fields(os.Getenv("NERDCTL_FAKE_SHOW")) {
		if value, ok := os.LookupEnv(name); ok {
			fmt.Printf("env %s=%s\n", name, strconv.Quote(value))
		} else {
			fmt.Printf("env %s is not set\n", name)
		}
	}
	if number, err := strconv.Atoi(os.Getenv(host.EnvVariables)); err == nil {
		variables, _ := io.ReadAll(os.NewFile(uintptr(number), "variables"))
		for v := range strings.SplitSeq(strings.TrimSuffix(string(variables), "\x00"), "\x00") {
			fmt.Printf("variable %s\n", strconv.Quote(v))
		}
	}
	if os.Getenv("NERDCTL_FAKE_STDIN") != "" {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			fmt.Printf("in %s\n", lines.Text())
		}
	}
	fmt.Fprintln(os.Stderr, "fake nerdctl was here")
	code, _ := strconv.Atoi(os.Getenv("NERDCTL_FAKE_EXIT"))
	return code
}

// TestScripts runs testdata/script: the finished command line as a user types it. `engine`
// in a script makes sockets that answer, as those of a running engine do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup:         setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"engine": startFakeEngine, "registry": startRegistry,
			"shout": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Logf("%s", ts.Getenv("LINNET_HOME")) },
		},
	})
}

func setupScript(env *testscript.Env) error {
	// Sockets need a short path, and a script's own directory is deep.
	short, err := os.MkdirTemp("/tmp", "lns-")
	if err != nil {
		return err
	}
	env.Defer(func() { _ = os.RemoveAll(short) })
	libexec := filepath.Join(env.WorkDir, "libexec")
	if err := os.MkdirAll(filepath.Join(libexec, "bin"), 0o755); err != nil {
		return err
	}
	for _, dir := range filepath.SplitList(env.Getenv("PATH")) {
		if linnet := filepath.Join(dir, string(route.Client)); env.Getenv("PROGRAM") == "" && there(linnet) {
			env.Setenv("PROGRAM", linnet)
		}
		program := filepath.Join(dir, "nerdctl")
		if _, err := os.Stat(program); err == nil {
			if err := copyFile(program, filepath.Join(libexec, "bin", "nerdctl")); err != nil {
				return err
			}
			break
		}
	}
	env.Setenv("HOME", filepath.Join(env.WorkDir, "user"))
	env.Setenv("LINNET_HOME", filepath.Join(short, "home"))
	env.Setenv("LINNET_LIBEXEC", libexec)
	env.Setenv("LINNET_BACKEND", "native")    // who is not root would get a virtual machine
	env.Setenv("GORACE", "atexit_sleep_ms=0") // else the race detector holds each process for a second
	return os.MkdirAll(filepath.Join(env.WorkDir, "user"), 0o755)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

func startFakeEngine(ts *testscript.TestScript, _ bool, _ []string) {
	l := host.Layout{Home: ts.Getenv("LINNET_HOME")}
	ts.Check(os.MkdirAll(l.Run(), 0o700))
	for _, daemon := range []string{"agent", "containerd", "buildkitd"} {
		listener, err := net.Listen("unix", l.Socket(daemon))
		ts.Check(err)
		ts.Defer(func() { listener.Close() })
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
	}
}

// Every command has a short text, a place in the help, and refuses what it does not know.
func TestTreeIsComplete(t *testing.T) {
	s, _, _, _ := streams.Test()
	a := &app{ctx: t.Context(), streams: s, log: newLog(io.Discard)}
	root := a.newRoot()
	seen := map[string]bool{}
	for _, c := range root.Commands() {
		if c.Short == "" {
			t.Errorf("%s has no short text", c.CommandPath())
		}
		if c.GroupID == "" && c.Name() != "help" {
			t.Errorf("%s is in no group of the help", c.CommandPath())
		}
		if seen[c.Name()] {
			t.Errorf("%s stands twice", c.CommandPath())
		}
		seen[c.Name()] = true
		for _, alias := range c.Aliases {
			if seen[alias] {
				t.Errorf("%s: the alias %s is taken", c.CommandPath(), alias)
			}
		}
	}
	for _, own := range []string{"version", "info", "engine", "config", "nerdctl", "completion", "run", "build", "compose"} {
		if !seen[own] {
			t.Errorf("there is no %s", own)
		}
	}
}

func TestChooseBackend(t *testing.T) {
	root, user := settings.Facts{OS: "linux", Root: true}, settings.Facts{OS: "linux"}
	mac := settings.Facts{OS: "darwin"}
	for _, c := range []struct {
		wanted settings.Backend
		facts  settings.Facts
		chosen settings.Backend
	}{
		{settings.Auto, root, settings.Native},
		{settings.Auto, user, settings.Lima},
		{settings.Auto, mac, settings.Lima},
		{settings.Native, root, settings.Native},
		{settings.Native, user, settings.Native},
		{settings.Native, mac, ""},
		{settings.Lima, user, settings.Lima},
		{settings.Lima, mac, settings.Lima},
	} {
		chosen, err := chooseBackend(c.wanted, c.facts)
		if chosen != c.chosen || (err == nil) != (c.chosen != "") {
			t.Errorf("%s on %+v: %q, %v", c.wanted, c.facts, chosen, err)
		}
		if err != nil && errorText(err) != "linnet: choosing the backend: \"native\" runs on Linux, and this is darwin\nhint: set backend: auto\n" {
			t.Errorf("%s", errorText(err))
		}
	}
}

// The client knows the components it is pinned to without any file beside it.
func TestComponentsAreEmbedded(t *testing.T) {
	all, err := deps.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(c deps.Component) bool { return c.Name == "nerdctl" }) {
		t.Error("nerdctl is not among the components")
	}
}

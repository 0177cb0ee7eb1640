package composecmd_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/composecmd"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// The test binary is linnet, the linnet-compose that it becomes, and the nerdctl that this becomes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		string(route.Client):  func() { os.Exit(runLinnet()) },
		string(route.Compose): func() { os.Exit(runLinnet()) },

		"nerdctl": func() { os.Exit(fakeNerdctl()) },
	})
}

func runLinnet() int {
	program, err := os.Executable() // both are called linnet
	if err != nil {
		panic(err)
	}
	var extensions []cli.Extension
	name := route.Program(filepath.Base(program))
	if name == route.Compose {
		extensions = append(extensions, composecmd.Commands)
	}
	return cli.Main(context.Background(), name, os.Args[1:], streams.System(), extensions...)
}

// fakeNerdctl prints its arguments, and the compose file among them that is linnet's own. NERDCTL_FAKE_EXIT is its exit
// code.
func fakeNerdctl() int {
	line, own := "nerdctl", []byte(nil)
	for _, arg := range os.Args[1:] {
		if file, ok := strings.CutPrefix(arg, "--file="+os.Getenv(host.EnvHome)); ok {
			arg = "--file=OWN"
			own, _ = os.ReadFile(os.Getenv(host.EnvHome) + file)
		}
		line += " " + strings.ReplaceAll(arg, os.Getenv("WORK"), "WORK")
	}
	fmt.Printf("%s\n%s", line, own)
	code, _ := strconv.Atoi(os.Getenv("NERDCTL_FAKE_EXIT"))
	return code
}

// TestScripts runs testdata/script: compose as a user types it, on an engine that has no images but those that
// `has NAME...` puts there and those that were built. `built LINE...` compares what was built since the last such
// line. `begun` waits for a build that lasts.
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many programs, for seconds")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup:         setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"has": func(ts *testscript.TestScript, _ bool, names []string) {
				for _, name := range names {
					engineOf(ts).put(name, "sha256:old")
				}
			},
			"built": func(ts *testscript.TestScript, _ bool, want []string) {
				if got := engineOf(ts).taken(); !slices.Equal(got, want) {
					ts.Fatalf("built %q, not %q", got, want)
				}
			},
			"begun": func(ts *testscript.TestScript, _ bool, _ []string) { <-engineOf(ts).begun },
		},
	})
}

type engineKey struct{}

func engineOf(ts *testscript.TestScript) *fakeEngine { return ts.Value(engineKey{}).(*fakeEngine) }

// setup starts the script's engine, and puts nerdctl where components are.
func setup(env *testscript.Env) error {
	short, err := os.MkdirTemp("/tmp", "lnc-") // sockets need a short path
	if err != nil {
		return err
	}
	env.Defer(func() { _ = os.RemoveAll(short) })
	l := host.Layout{Home: filepath.Join(short, "home"), Libexec: filepath.Join(env.WorkDir, "libexec")}
	for _, dir := range []string{l.Run(), l.BinDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, dir := range filepath.SplitList(env.Getenv("PATH")) {
		err = os.Link(filepath.Join(dir, "nerdctl"), l.Bin("nerdctl"))
		if err == nil || !os.IsNotExist(err) {
			break
		}
	}
	if err != nil {
		return err
	}
	e := &fakeEngine{images: map[string]string{}, solves: map[string]*solve{}, begun: make(chan struct{})}
	end, err := e.start(l)
	if err != nil {
		return err
	}
	env.Defer(end)
	env.Values[engineKey{}] = e
	env.Setenv("HOME", filepath.Join(env.WorkDir, "user"))
	env.Setenv(host.EnvHome, l.Home)
	env.Setenv(host.EnvLibexec, l.Libexec)
	env.Setenv("LINNET_BACKEND", "native")    // who is not root would get a virtual machine
	env.Setenv("GORACE", "atexit_sleep_ms=0") // else the race detector holds each process for a second
	return os.Mkdir(env.Getenv("HOME"), fs.ModePerm)
}

// Command build makes the third-party programs that this host needs, in their pinned versions,
// and installs them into one prefix:
//
//	go run ./deps/build [flags] [component...]
//
// What it builds is kept in a cache by content: the pin, the component's module, the Go version,
// the target and the libraries that go in. Something that was built once is never built again, an
// interrupted run leaves nothing behind that a later one would take for finished, and two runs at
// once share the work. The package knows nothing of how the programs are used.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/linnet-dev/linnet/deps"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// options are what the command line says.
type options struct {
	prefix, cache, arch string
	tools, peers, needs bool
	check, sbom         bool
	without             string
	names               []string
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("deps/build", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.prefix, "prefix", "", "install below `dir` (default libexec/linnet, libexec/linnet-ARCH for another architecture, _output/tools with -tools, or _output/peers with -peers)")
	flags.StringVar(&o.cache, "cache", "", "keep what was built in `dir` (default $LINNET_DEPS_CACHE, or linnet/deps in the user's cache)")
	flags.StringVar(&o.arch, "arch", runtime.GOARCH, "build for `arch`, as Go names it")
	flags.BoolVar(&o.tools, "tools", false, "build the developers' tools of deps/tools/go.mod instead of components")
	flags.BoolVar(&o.peers, "peers", false, "build the programs of e2e/peers, which tests drive, instead of components")
	flags.StringVar(&o.without, "without", "", "leave out these `mends`, a comma between them: for tests of what they mend")
	flags.BoolVar(&o.check, "check", false, "build nothing: run go vet and the mended packages' own tests on the mended copies")
	flags.BoolVar(&o.sbom, "sbom", false, "build nothing: print what is installed, in CycloneDX's JSON")
	flags.BoolVar(&o.needs, "needs", false, "build nothing: print the Debian packages that are missing, one a line")
	err := flags.Parse(args)
	o.names = flags.Args()
	return o, err
}

// run is the whole command; stdout gets results only, and only -needs has one.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return exitUsage // the flag set has said why
	}
	if err := o.do(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "deps: %v\n", err)
		if hint := new(hintError); errors.As(err, &hint) {
			fmt.Fprintf(stderr, "hint: %s\n", hint.hint)
		}
		return exitFailed
	}
	return exitOK
}

func (o options) do(ctx context.Context, stdout, stderr io.Writer) error {
	root, err := repository()
	if err != nil {
		return err
	}
	if o.prefix == "" {
		o.prefix = o.defaultPrefix(root)
	}
	if o.cache == "" {
		if o.cache, err = defaultCache(); err != nil {
			return err
		}
	}
	for _, dir := range []*string{&o.prefix, &o.cache} { // Go runs in other directories than this one
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	b := &builder{
		modules: filepath.Join(root, "deps"), prefix: o.prefix, cache: o.cache,
		goos: runtime.GOOS, goarch: o.arch, goCommand: "go", log: stderr,
	}
	switch {
	case o.tools:
		b.module = toolsModule
		wanted, err := b.tools(ctx, o.names)
		if err != nil {
			return err
		}
		return b.install(ctx, wanted)
	case o.peers:
		b.modules = filepath.Join(root, "e2e", "peers")
		wanted, err := b.peers(o.names)
		if err != nil {
			return err
		}
		return b.install(ctx, wanted)
	}
	return b.doComponents(ctx, o, stdout)
}

// doComponents does with components what the command line says.
func (b *builder) doComponents(ctx context.Context, o options, stdout io.Writer) (err error) {
	if b.mends, err = deps.Mends(); err != nil {
		return err
	}
	if b.without, err = leftOut(b.mends, o.without); err != nil {
		return err
	}
	wanted, err := components(o.names, b.goos)
	if err != nil {
		return err
	}
	if o.needs {
		for _, name := range debianPackages(b.missing(ctx, wanted)) {
			fmt.Fprintln(stdout, name)
		}
		return nil
	}
	switch {
	case o.check:
		return b.checkMends(ctx, wanted)
	case o.sbom:
		return b.writeSBOM(stdout, wanted)
	}
	return b.install(ctx, wanted)
}

// defaultPrefix is where things go in a repository. What was built for another architecture stands beside what runs here.
func (o options) defaultPrefix(root string) string {
	switch {
	case o.tools:
		return filepath.Join(root, "_output", "tools")
	case o.peers && o.arch != runtime.GOARCH:
		return filepath.Join(root, "_output", "peers-"+o.arch)
	case o.peers:
		return filepath.Join(root, "_output", "peers")
	case o.arch != runtime.GOARCH:
		return filepath.Join(root, "libexec", "linnet-"+o.arch)
	}
	return filepath.Join(root, "libexec", "linnet")
}

// repository finds the root of the repository from the working directory upwards.
func repository() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, "deps", "components.yaml"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("finding the repository: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return "", &hintError{fmt.Errorf("no deps/components.yaml in %s or above it", start), "run this inside a clone of linnet"}
		}
	}
}

// defaultCache is the same on every system, so that a CI configuration can name it.
func defaultCache() (string, error) {
	if dir := os.Getenv("LINNET_DEPS_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "linnet", "deps"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &hintError{fmt.Errorf("choosing a cache: %w", err), "name one with -cache"}
	}
	return filepath.Join(home, ".cache", "linnet", "deps"), nil
}

// hintError is an error with what to do about it.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

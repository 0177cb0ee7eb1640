// Command dist makes what a release consists of, into one directory:
//
//	go run ./installer/dist [flags]
//
// These are an archive for each system and architecture, deb and rpm packages, a Homebrew formula, install.sh, SBOMs and
// the digests of all of them. The same commit, Go and components give the same bytes: times are the commit's, names are sorted,
// and no path of the machine goes in. The package knows nothing of what the programs do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stderr)
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
	out, components string
	images, nfpm    string
	version         string
	systems, archs  []string
	strict          bool
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("dist", flag.ContinueOnError)
	flags.SetOutput(stderr)
	systems := flags.String("os", strings.Join(allSystems, ","), "make it for these `systems`, a comma between them")
	archs := flags.String("arch", strings.Join(allArchs, ","), "make it for these `architectures`, as Go names them, a comma between them")
	flags.StringVar(&o.out, "out", "_output/dist", "make it in `dir`, which is replaced")
	flags.StringVar(&o.components, "components", "", "take a system's components from `dir`, in which {os} and {arch} stand for its names (default "+defaultComponents+", and libexec/linnet or libexec/linnet-ARCH for this system's)")
	flags.StringVar(&o.images, "images", "", "take the guest's packed images from `dir` (default what -out names, where make pack-image leaves them)")
	flags.StringVar(&o.nfpm, "nfpm", "_output/tools/bin/nfpm", "make packages with the `program` nfpm")
	flags.StringVar(&o.version, "version", "", "make it as this `version` and no other, as a tag has it, such as v0.1.0 (default what git describe says)")
	flags.BoolVar(&o.strict, "strict", false, "refuse to make what a release must not be: of changed files, without images, or for macOS without limactl")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("no arguments are taken, got %q", flags.Args())
		fmt.Fprintf(stderr, "dist: %v\n", err)
	}
	o.systems, o.archs = strings.Split(*systems, ","), strings.Split(*archs, ",")
	return o, err
}

// run is the whole command: what it makes is in files, so that all it prints goes to stderr.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return exitUsage // the flag set has said why
	}
	if err := o.do(ctx, stderr); err != nil {
		fmt.Fprintf(stderr, "dist: %v\n", err)
		if hint := new(hintError); errors.As(err, &hint) {
			fmt.Fprintf(stderr, "hint: %s\n", hint.hint)
		}
		return exitFailed
	}
	return exitOK
}

func (o options) do(ctx context.Context, log io.Writer) error {
	targets, err := chooseTargets(o.systems, o.archs)
	if err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "deps", "components.yaml")); err != nil {
		return &hintError{fmt.Errorf("%s is not the root of linnet's repository", root), "make dist"}
	}
	r, err := readRelease(ctx, root)
	if err != nil {
		return err
	}
	if r, err = r.as(o.version, o.strict); err != nil {
		return err
	}
	if o.images == "" {
		o.images = o.out
	}
	for _, path := range []*string{&o.out, &o.images, &o.nfpm} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	d := &dist{options: o, root: root, release: r, log: log, work: o.out + ".new"}
	if err := os.RemoveAll(d.work); err != nil { // an interrupted run's
		return err
	}
	err = d.makeAll(ctx, targets)
	if err == nil {
		err = errors.Join(os.RemoveAll(d.stages()), os.RemoveAll(o.out))
	}
	if err == nil {
		err = os.Rename(d.work, o.out)
	}
	return errors.Join(err, os.RemoveAll(d.work))
}

// dist is one run.
type dist struct {
	options
	root    string
	release release
	log     io.Writer
	// digests are of the guest's images, in hex, by architecture as Go names it.
	digests map[string]string
	// work becomes the directory that was asked for, once everything is in it.
	work string
}

// stages holds a directory for each target, with what its archive holds, and what is made on the way.
func (d *dist) stages() string { return filepath.Join(d.work, ".stages") }

func (d *dist) say(format string, args ...any) { fmt.Fprintf(d.log, "dist: "+format+"\n", args...) }

// makeAll finds out first what would make a later step fail.
func (d *dist) makeAll(ctx context.Context, targets []target) error {
	parts := map[target][]part{}
	for _, t := range targets {
		var err error
		if parts[t], err = d.parts(t); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(targets, func(t target) bool { return t.OS == "linux" }) {
		if _, err := os.Stat(d.nfpm); err != nil {
			return &hintError{fmt.Errorf("packages are made by nfpm, and there is no %s", d.nfpm), "make dist builds it"}
		}
	}
	if err := d.takeImages(targets); err != nil {
		return err
	}
	pages := filepath.Join(d.stages(), "pages")
	if err := d.writePages(ctx, pages); err != nil {
		return err
	}
	for _, t := range targets {
		d.say("%s", t)
		if err := d.makeTarget(ctx, t, parts[t], pages); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	if err := d.render(targets); err != nil {
		return err
	}
	return d.seal(ctx)
}

// makeTarget makes what there is of one system: the archive, the packages and the SBOM.
func (d *dist) makeTarget(ctx context.Context, t target, parts []part, pages string) error {
	stage := filepath.Join(d.stages(), t.String())
	if err := d.stage(ctx, t, parts, pages, stage); err != nil {
		return err
	}
	if err := settle(stage, d.release.Time); err != nil {
		return err
	}
	if t.OS == "linux" {
		if err := d.writePackages(ctx, t, stage); err != nil {
			return err
		}
	}
	if err := writeList(stage); err != nil { // after the packages, whose managers have lists of their own
		return err
	}
	if err := writeArchive(filepath.Join(d.work, d.archiveName(t)), stage, d.release.Time); err != nil {
		return err
	}
	return writeSBOM(filepath.Join(d.work, d.baseName(t)+".cdx.json"), d.release, parts, stage)
}

// baseName is what the names of a target's files begin with.
func (d *dist) baseName(t target) string { return "linnet-" + d.release.Name() + "-" + t.String() }

func (d *dist) archiveName(t target) string { return d.baseName(t) + ".tar.gz" }

// hintError is an error with what to do about it.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

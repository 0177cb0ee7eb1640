// Package forward makes a nerdctl command line true in a Guest and runs it there: what the
// line names on this side is localized, carried over or brought back, and the exit code
// comes back as it is.
//
// It must not know which guest it has, nor anything of single commands: what a flag means
// stands in package nerdctl.
package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/linnet-dev/linnet/pkg/crossing"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// Options are one command line, and where it comes from and goes to.
type Options struct {
	Guest      guest.Guest
	Invocation *nerdctl.Invocation
	// Builds says that the command needs BuildKit.
	Builds  bool
	Streams *streams.Streams
	// Environ is the environment of this side, as os.Environ gives it; Dir and Home are
	// its working and home directories.
	Environ   []string
	Dir, Home string
	// Credentials answers for registries where the guest cannot look up this side's own;
	// nil means that nobody does.
	Credentials func(ctx context.Context, registry string) (guest.Credentials, error)
	// Done is called before the command takes the terminal.
	Done func()
}

// Run makes the guest ready and runs the command line in it. A command that ran and failed
// is a *guest.ExitError.
func Run(ctx context.Context, o Options) error {
	if err := Ready(ctx, o.Guest, o.Builds); err != nil {
		return err
	}
	if list, remove, ok := nerdctl.Pruning(o.Invocation); ok {
		return prune(ctx, o, list, remove)
	}
	if list, one, ok := nerdctl.CopyingOut(o.Invocation); ok {
		o.Done()
		var listed bytes.Buffer
		err := within(ctx, o, list, &listed)
		if err == nil {
			o.Invocation, err = one(listed.String())
		}
		if err != nil {
			return err
		}
	}
	plan, err := nerdctl.Localize(nerdctl.Mend(o.Invocation), near(o))
	if err != nil {
		return err
	}
	if !replaced(o.Guest, o.Streams) {
		plan.Abandonable()
	}
	o.Done()
	if plan.Direct() {
		return Process(ctx, o.Guest, o.Streams, process(o, plan, nil))
	}
	return around(ctx, o, plan)
}

// Ready makes the guest ready for a command; for one that builds it waits for BuildKit, as nerdctl would not.
func Ready(ctx context.Context, g guest.Guest, builds bool) error {
	if err := g.Ready(ctx); err != nil || !builds {
		return err
	}
	conn, err := g.Dial(ctx, guest.BuildKit)
	if err != nil {
		return err
	}
	return conn.Close()
}

// process is the command line as a process over there; path says where staged files are.
func process(o Options, plan *nerdctl.Plan, path func(name string) string) guest.Process {
	p := guest.Process{
		Argv:      append([]string{"nerdctl"}, plan.Argv(path)...),
		Env:       slices.Concat(seldom(o), plan.Unset, plan.Env),
		Variables: plan.Variables,
		Dir:       plan.Dir,
		Abandoned: plan.Abandoned(path),

		Credentials: o.Credentials,
	}
	if o.Invocation.Terminal() && o.Streams.InTerminal() && o.Streams.OutTerminal() {
		p.TTY = &guest.TTY{Term: lookup(o.Environ, "TERM")}
	}
	return p
}

// seldom has nerdctl, a Go program that lives for a moment, collect garbage when its heap is five
// times what is in use, not twice (package runtime, GOGC): a sixth of a short command goes there
// otherwise. What the user has set stays, and compose files can see every variable.
func seldom(o Options) []string {
	inv := o.Invocation
	if _, set := lookupEnv(o.Environ, "GOGC"); set || inv.Composes() {
		return nil
	}
	return []string{"GOGC=400"}
}

// near is this side, as Localize asks for it.
func near(o Options) crossing.Host {
	return crossing.Host{
		LookupEnv: func(name string) (string, bool) { return lookupEnv(o.Environ, name) },
		Dir:       o.Dir, Home: o.Home,
		Visible: func(path string) (string, bool, error) {
			v, err := o.Guest.Path(path)
			return v.Path, v.ReadOnly, err
		},
		IsDir: func(path string) bool {
			info, err := os.Stat(path)
			return err == nil && info.IsDir()
		},
		ReadFile: os.ReadFile,
		Environ:  func() []string { return o.Environ },
	}
}

func lookupEnv(environ []string, name string) (value string, ok bool) {
	for _, pair := range environ {
		if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
			value, ok = pair[len(name)+1:], true
		}
	}
	return value, ok
}

func lookup(environ []string, name string) string {
	value, _ := lookupEnv(environ, name)
	return value
}

// around runs a command that needs files carried there or back.
func around(ctx context.Context, o Options, plan *nerdctl.Plan) (err error) {
	for _, f := range plan.CopyBack {
		if _, err := os.Lstat(f.Host); f.New && err == nil {
			return &guest.NotVisibleError{Host: f.Host, Reason: "the file exists already", Fix: "remove it, or name another file"}
		}
	}
	var stage guest.Stage
	if plan.Staged() {
		if stage, err = o.Guest.Stage(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stage.Close()) }()
		if err := putAll(ctx, stage, plan.Stage); err != nil {
			return err
		}
	}
	p := process(o, plan, func(name string) string { return stage.Path(name) })
	if plan.Stdin != nil {
		in, err := openIn(plan.Stdin)
		if err != nil {
			return err
		}
		defer in.Close()
		p.Stdin, p.TTY = in, nil
	}
	var out *outFile
	if plan.Stdout != nil {
		if out, err = openOut(plan.Stdout, o.Streams.Err); err != nil {
			return err
		}
		defer out.discard()
		p.Stdout, p.TTY = out, nil
	}
	ran := carry(ctx, o.Guest, o.Streams, p)
	if out != nil && ran == nil {
		ran = out.keep()
	}
	return errors.Join(ran, getAll(context.WithoutCancel(ctx), stage, plan.CopyBack))
}

// putAll carries files into the stage.
func putAll(ctx context.Context, stage guest.Stage, files []crossing.StagedFile) error {
	for _, f := range files {
		if err := put(ctx, stage, f); err != nil {
			return err
		}
	}
	return nil
}

func put(ctx context.Context, stage guest.Stage, f crossing.StagedFile) error {
	in, err := os.Open(f.Host)
	if err != nil {
		return fmt.Errorf("reading %w", hint.PathCause(err))
	}
	defer in.Close()
	mode := os.FileMode(0o600)
	if f.KeepMode {
		info, err := in.Stat()
		if err != nil {
			return fmt.Errorf("reading %w", hint.PathCause(err))
		}
		mode = info.Mode().Perm()
	}
	_, err = stage.Put(ctx, f.Name, mode, in)
	return err
}

// getAll brings back what the command wrote; what it did not write stays away.
func getAll(ctx context.Context, stage guest.Stage, files []crossing.BackFile) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, get(ctx, stage, f))
	}
	return errors.Join(errs...)
}

func get(ctx context.Context, stage guest.Stage, f crossing.BackFile) error {
	in, err := stage.Get(ctx, f.Name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := openOut(&crossing.HostFile{Path: f.Host}, nil)
	if err != nil {
		return err
	}
	defer out.discard()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("writing %s: %w", f.Host, err)
	}
	return out.keep()
}

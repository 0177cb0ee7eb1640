// Package client is the host's end of every command: the guest that it runs in, who and where the user is, which registries'
// credentials may be given out, what makes other processors' programs run, and where progress is shown, in one value. It makes a
// nerdctl command line true in the guest and runs it there: what the line names on the host is mapped (package crossing), carried
// over or brought back, and the exit code comes back as it is.
//
// It must not know which guest it has, nor what a flag means: that stands in package nerdctl. Nor does it know settings or
// linnet's own commands.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/linnet-dev/linnet/pkg/crossing"
	"github.com/linnet-dev/linnet/pkg/emulate"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/registry"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// Client runs commands for one user in one guest. All fields but Registries and Emulator are needed.
type Client struct {
	Guest   guest.Guest
	Streams *streams.Streams
	// Environ is the user's environment, as os.Environ gives it; Dir and Home are the working and home directories, Dir "" where
	// the working directory is gone.
	Environ   []string
	Dir, Home string
	// Registries has the user's credentials; nil means that there are none. HostsDirs are directories of registries' hosts.toml.
	Registries *registry.Config
	HostsDirs  []string
	// Arch is the GOARCH of the guest.
	Arch string
	// Emulator makes the programs of an architecture run in the guest, and returns through which interpreter.
	Emulator func(ctx context.Context, arch emulate.Architecture) (interpreter string, err error)
	// Note tells the user something in passing. Release takes progress off the terminal, before something else is shown there.
	Note    func(text string)
	Release func()
}

// command is one command line of nerdctl's.
type command struct {
	*Client
	inv         *nerdctl.Invocation
	credentials func(ctx context.Context, registry string) (guest.Credentials, error)
	// replaces says that the command may take the place of this process.
	replaces bool
}

// Exec runs a command line after which nothing is left to do: where it can, it takes the place of this process, and does not
// return. registries are those that the line's files name, nil where they were not looked at. A command that ran and failed is a
// *guest.ExitError.
func (c *Client) Exec(ctx context.Context, inv *nerdctl.Invocation, registries []string) error {
	return c.forward(ctx, inv, registries, c.canReplace())
}

// Run is Exec for a command line after which there is more to do: it returns.
func (c *Client) Run(ctx context.Context, inv *nerdctl.Invocation) error {
	return c.forward(ctx, inv, nil, false)
}

func (c *Client) forward(ctx context.Context, inv *nerdctl.Invocation, registries []string, replaces bool) error {
	if c.Dir == "" {
		return hint.New("finding the working directory: it is no longer there", "cd to another directory")
	}
	if err := c.emulateFor(ctx, inv); err != nil {
		return err
	}
	grant := c.grantFor(inv, registries)
	defer c.TellRefused(grant)
	if err := c.Ready(ctx, route.Of(inv.Path).Builds); err != nil {
		return err
	}
	o := command{c, inv, credentials(grant), replaces}
	if list, remove, ok := nerdctl.Pruning(inv); ok {
		return o.prune(ctx, list, remove)
	}
	if list, one, ok := nerdctl.CopyingOut(inv); ok {
		c.Release()
		var listed bytes.Buffer
		err := o.output(ctx, list, &listed)
		if err == nil {
			o.inv, err = one(listed.String())
		}
		if err != nil {
			return err
		}
	}
	plan, err := nerdctl.Localize(nerdctl.ApplyWorkarounds(o.inv), c.host())
	if err != nil {
		return err
	}
	if !o.replaces {
		plan.WithCancelCleanup()
	}
	c.Release()
	if plan.Direct() {
		return o.start(ctx, o.process(plan, nil))
	}
	return o.around(ctx, plan)
}

// Nerdctl runs nerdctl with exactly these arguments.
func (c *Client) Nerdctl(ctx context.Context, args []string) error {
	var grant *registry.Grant
	builds := false
	if inv, err := nerdctl.Parse(args); err == nil { // else nerdctl refuses it, too
		grant, builds = c.grantFor(inv, nil), route.Of(inv.Path).Builds
	}
	if err := c.Ready(ctx, builds); err != nil {
		return err
	}
	c.Release()
	defer c.TellRefused(grant)
	return c.Attach(ctx, guest.Process{Argv: append([]string{"nerdctl"}, args...), Credentials: credentials(grant)})
}

// Ready makes the guest ready for a command; for one that builds it waits for BuildKit, as nerdctl would not.
func (c *Client) Ready(ctx context.Context, builds bool) error {
	if err := c.Guest.Ready(ctx); err != nil || !builds {
		return err
	}
	conn, err := c.Guest.Dial(ctx, guest.BuildKit)
	if err != nil {
		return err
	}
	return conn.Close()
}

// output runs a command line that reads nothing beside us and keeps what it prints.
func (o command) output(ctx context.Context, inv *nerdctl.Invocation, out io.Writer) error {
	plan, err := nerdctl.Localize(inv, o.host())
	if err != nil {
		return err
	}
	o.inv = inv
	p := o.process(plan, nil)
	p.Stdin, p.Stdout, p.Stderr = bytes.NewReader(nil), guest.Limit(out, guest.CaptureMax), o.Streams.Err
	return o.Guest.Run(ctx, p)
}

// process is the command line as a process in the guest; path says where staged files are.
func (o command) process(plan *nerdctl.Plan, path func(name string) string) guest.Process {
	p := guest.Process{
		Argv:      append([]string{"nerdctl"}, plan.Argv(path)...),
		Env:       slices.Concat(o.relaxedGC(), plan.Unset, plan.Env),
		Variables: plan.Variables,
		Dir:       plan.Dir,
		OnCancel:  plan.OnCancel(path),

		Credentials: o.credentials,
	}
	if o.inv.Terminal() && o.Streams.InTerminal() && o.Streams.OutTerminal() {
		term, _ := lookupEnv(o.Environ, "TERM")
		p.TTY = &guest.TTY{Term: term}
	}
	return p
}

// relaxedGC has nerdctl, a Go program that lives for a moment, collect garbage when its heap is five
// times what is in use, not twice (package runtime, GOGC): a sixth of a short command goes there
// otherwise. What the user has set stays, and compose files can see every variable.
func (o command) relaxedGC() []string {
	if _, set := lookupEnv(o.Environ, "GOGC"); set || o.inv.Composes() {
		return nil
	}
	return []string{"GOGC=400"}
}

// host is this host, as package crossing asks for it.
func (c *Client) host() crossing.Host {
	return crossing.Host{
		LookupEnv: func(name string) (string, bool) { return lookupEnv(c.Environ, name) },
		Dir:       c.Dir, Home: c.Home,
		Visible: func(path string) (string, bool, error) {
			v, err := c.visible(path)
			return v.Path, v.ReadOnly, err
		},
		IsDir: func(path string) bool {
			info, err := os.Stat(path)
			return err == nil && info.IsDir()
		},
		ReadFile: os.ReadFile,
		Environ:  func() []string { return c.Environ },
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

// around runs a command that needs files carried there or back.
func (o command) around(ctx context.Context, plan *nerdctl.Plan) (err error) {
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
	p := o.process(plan, func(name string) string { return stage.Path(name) })
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
	ran := o.carry(ctx, p)
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

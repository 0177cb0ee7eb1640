package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/dockercontext"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// contextName is what the Docker context is called.
const contextName = "linnet"

type contextFlags struct{ force, use, remove bool }

func (a *app) newDockerContext() *cobra.Command {
	var f contextFlags
	c := &cobra.Command{
		Use: "context", Short: "make a Docker context that leads to the engine", Args: NoArgs,
		Long: `context makes a Docker context called "linnet", or brings it up to date. Docker's command line, compose
and buildx, and tools that follow contexts, reach the engine by it. A context of that name that points elsewhere
is left alone without --force. config.json is docker's and yours: --use has docker itself change it.`,
		Example: `  linnet docker context --use
  docker --context linnet ps
  linnet docker context --rm`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.remove && (f.use || f.force):
				return Usage(errors.New("docker context: --rm goes with no other flag"), "leave --rm or the others out")
			case f.remove:
				return a.removeContext(cmd.Context())
			}
			return a.makeContext(cmd.Context(), f)
		},
	}
	c.Flags().BoolVarP(&f.force, "force", "f", false, "replace a context of that name that points elsewhere")
	c.Flags().BoolVar(&f.use, "use", false, "have docker use it from now on (docker context use linnet)")
	c.Flags().BoolVar(&f.remove, "rm", false, "remove it; docker then uses its default context, if it used this one")
	return c
}

// tell says on standard error what was done.
func (a *app) tell(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.streams.Err, format+"\n", args...)
	}
}

func (a *app) makeContext(ctx context.Context, f contextFlags) error {
	socket, err := a.dockerSocket("docker context")
	if err != nil {
		return err
	}
	store, err := dockercontext.Open(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("docker context: %w", err)
	}
	wanted := dockercontext.Context{Name: contextName, Description: "linnet's engine", Host: address(socket)}
	if err := a.putContext(store, wanted, f.force); err != nil {
		return err
	}
	if err := a.chooseContext(ctx, store, f.use); err != nil {
		return err
	}
	if set := os.Getenv("DOCKER_HOST"); set != "" && set != wanted.Host {
		a.note("DOCKER_HOST is set, and goes before every context: " + set)
	}
	if err := a.noteStopped(ctx, socket); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.streams.Out, contextName)
	return err
}

// putContext writes the context, unless it is there as it is wanted, or is another's.
func (a *app) putContext(store dockercontext.Store, wanted dockercontext.Context, force bool) error {
	there, ok, err := store.Find(wanted.Name)
	switch {
	case err != nil && !force:
		return fmt.Errorf("docker context: %w", err)
	case ok && there.Host == wanted.Host:
		a.tell("docker's context %q is up to date: %s", wanted.Name, wanted.Host)
		return nil
	case ok && !force:
		return hint.With(fmt.Errorf("docker context: the context %q is there and points %s", wanted.Name, pointsAt(there)), "linnet docker context --force replaces it")
	}
	if err := store.Put(wanted); err != nil {
		return fmt.Errorf("docker context: %w", err)
	}
	if ok {
		a.tell("docker's context %q now points at %s; before, it pointed %s", wanted.Name, wanted.Host, pointsAt(there))
	} else {
		a.tell("docker's context %q is made: %s", wanted.Name, wanted.Host)
	}
	return nil
}

// pointsAt is where a context points, behind the word "points".
func pointsAt(c dockercontext.Context) string {
	if c.Host == "" {
		return "at no engine"
	}
	return "at " + c.Host
}

// chooseContext has docker use the context, if that is wanted and it does not yet; otherwise it says how.
func (a *app) chooseContext(ctx context.Context, store dockercontext.Store, use bool) error {
	current, err := store.Current()
	switch {
	case err != nil:
		return fmt.Errorf("docker context: %w", err)
	case current == contextName:
		return nil
	case !use:
		a.tell("docker context use %s: docker uses it from then on", contextName)
		return nil
	}
	err = a.dockerContextUse(ctx, contextName)
	if errors.Is(err, os.ErrNotExist) {
		return hint.New("docker context: the context is there, and there is no docker in PATH that could be told to use it",
			"export DOCKER_CONTEXT="+contextName+", or where docker is: docker context use "+contextName)
	}
	return err
}

// dockerContextUse has docker's own command line choose a context. Without one in PATH it is os.ErrNotExist.
func (a *app) dockerContextUse(ctx context.Context, name string) error {
	stderr := a.streams.Err
	if a.quiet {
		stderr = io.Discard
	}
	argv := []string{"docker", "context", "use", name}
	code, err := host.Run(ctx, host.Command{Argv: argv, Env: os.Environ(), Stderr: stderr})
	if err == nil && code != 0 {
		err = fmt.Errorf("docker context use %s has ended with exit code %d", name, code)
	}
	if err != nil {
		return fmt.Errorf("docker context: %w", err)
	}
	return nil
}

func (a *app) removeContext(ctx context.Context) error {
	l, err := a.Layout()
	if err != nil {
		return err
	}
	store, err := dockercontext.Open(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("docker context: %w", err)
	}
	there, ok, err := store.Find(contextName)
	switch {
	case err != nil:
		return fmt.Errorf("docker context: %w", err)
	case !ok:
		a.tell("docker has no context %q", contextName)
		return nil
	case there.Host != address(l.DockerSocket()):
		return hint.With(fmt.Errorf("docker context: the context %q points %s, not at this engine", contextName, pointsAt(there)),
			"docker context rm "+contextName+" removes it all the same")
	}
	if err := a.leaveContext(ctx, store); err != nil {
		return err
	}
	if err := store.Remove(contextName); err != nil {
		return fmt.Errorf("docker context: %w", err)
	}
	a.tell("docker's context %q is removed", contextName)
	if os.Getenv("DOCKER_CONTEXT") == contextName {
		a.note("DOCKER_CONTEXT still names it: unset it")
	}
	return nil
}

// leaveContext has docker use its default context, if it uses this one.
func (a *app) leaveContext(ctx context.Context, store dockercontext.Store) error {
	current, err := store.Current()
	if err != nil {
		return fmt.Errorf("docker context: %w", err)
	}
	if current != contextName {
		return nil
	}
	err = a.dockerContextUse(ctx, dockercontext.Default)
	if errors.Is(err, os.ErrNotExist) {
		return hint.With(fmt.Errorf("docker context: %s chooses the context %q, and there is no docker in PATH that could be told to leave it", store.ConfigFile(), contextName),
			`take "currentContext" out of that file, and try again`)
	}
	return err
}

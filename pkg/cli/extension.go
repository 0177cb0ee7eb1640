package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/client"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/settings"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// Extension makes commands that a program adds to the tree.
type Extension func(*Env) []*cobra.Command

// Env is what the commands of an Extension share with all others.
type Env struct{ app *app }

// Streams are the command's.
func (e *Env) Streams() *streams.Streams { return e.app.streams }

// Client is what commands run with, by the settings. Its guest is not started yet.
func (e *Env) Client() (*client.Client, error) { return e.app.Client() }

// Layout is where everything is.
func (e *Env) Layout() (host.Layout, error) { return e.app.Layout() }

// Settings are linnet.yaml's.
func (e *Env) Settings() (*settings.Settings, error) { return e.app.Settings() }

// Progress is how the global flags want progress to be shown: auto, plain, json or quiet.
func (e *Env) Progress() string {
	if e.app.quiet {
		return "quiet"
	}
	return e.app.progress
}

// Global are nerdctl's own global flags as they were typed.
func (e *Env) Global() []string { return e.app.global }

// Parse reads a command line of nerdctl's with its global flags, wherever they were typed.
func (e *Env) Parse(words []string) (*nerdctl.Invocation, error) { return e.app.parse(words) }

// Forward runs a command line of nerdctl's in the guest. registries are those that its files name, nil where they were not
// looked at.
func (e *Env) Forward(inv *nerdctl.Invocation, registries []string) error {
	return e.app.forward(inv, registries)
}

// Usage is an error in the command line itself.
func Usage(err error, fix string) error { return &usageError{err, fix} }

// Silent ends linnet with a code and no further word.
func Silent(code int) error { return &silentError{code: code} }

// become turns this process into another of the client's programs, with the same command line.
func become(name route.Program, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	program := beside(self, string(name))
	err = host.Become(program, append([]string{string(route.Client)}, args...), os.Environ(), nil)
	if errors.Is(err, os.ErrNotExist) {
		return &hint.Error{Err: fmt.Errorf("finding %s: %w", program, os.ErrNotExist), Fix: "it belongs beside linnet: install linnet anew, or `make build`"}
	}
	return fmt.Errorf("running %s: %w", program, err)
}

// beside is a program in the same directory as another.
func beside(program, name string) string {
	if target, err := filepath.EvalSymlinks(program); err == nil {
		program = target
	}
	return filepath.Join(filepath.Dir(program), name)
}

// extend adds the extensions' commands to the tree, and those that another program has.
func (a *app) extend(root *cobra.Command) {
	for _, ext := range a.extensions {
		for _, c := range ext(&Env{a}) {
			id := groupCommands
			switch c.Name() {
			case "cache", "lint":
				id = groupOwn
			case "image", "system":
				id = groupManagement
			}
			root.AddCommand(inGroup(id, c))
		}
	}
	if !a.has(route.Build) {
		root.AddCommand(inGroup(groupCommands, a.execStub(route.Build, "build", "Build an image from a Dockerfile")))
		root.AddCommand(inGroup(groupOwn, a.execStub(route.Build, "cache", "list, prune and move the build cache")))
	}
	if lint, _, err := root.Find([]string{"lint"}); err != nil || lint == root {
		root.AddCommand(inGroup(groupOwn, a.execStub(route.Lint, "lint", "check Dockerfiles, build contexts and compose files")))
	}
	buildx := group("buildx", "docker's name for what builds")
	buildx.Hidden, buildx.GroupID = true, groupManagement
	buildx.AddCommand(a.execStub(route.Build, "build", "Build an image from a Dockerfile"), a.execStub(route.Build, "prune", "Remove build cache"),
		a.execStub(route.Build, "du", "How much space the build cache takes"))
	root.AddCommand(buildx)
}

func inGroup(id string, c *cobra.Command) *cobra.Command {
	c.GroupID = id
	return c
}

// execStub stands for a command of another program in the list of commands.
func (a *app) execStub(program route.Program, use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error { return become(program, a.args) },
	}
}

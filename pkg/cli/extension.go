package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/settings"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// The client's programs. What the second one links would make the first too slow to start, so
// the first becomes the second for the commands that need it.
const (
	clientProgram = "linnet"
	buildProgram  = "linnet-build"
)

// Extension makes commands that a program adds to the tree.
type Extension func(*Env) []*cobra.Command

// Env is what the commands of an Extension share with all others.
type Env struct{ app *app }

// Streams are the command's.
func (e *Env) Streams() *streams.Streams { return e.app.streams }

// Engine is where containers run, by the settings. It is not started yet.
func (e *Env) Engine() (guest.Guest, error) { return e.app.Engine() }

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

// Global are nerdctl's own global flags as they were typed before the command.
func (e *Env) Global() []string { return e.app.global }

// CloseReport takes linnet's live line away before something else is shown.
func (e *Env) CloseReport() { e.app.closeReport() }

// Usage is an error in the command line itself.
func Usage(err error, hint string) error { return &usageError{err: err, hint: hint} }

// Silent ends linnet with a code and no further word.
func Silent(code int) error { return &silentError{code: code} }

// elsewhere says whether a command line is for the program of builds. It looks at no more than
// the first words: a line with global flags before them is found by the tree, later.
func elsewhere(args []string) bool {
	if len(args) == 0 {
		return false
	}
	if slices.Contains([]string{"help", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, args[0]) {
		args = args[1:]
	}
	_, ok := buildWords(args)
	return ok
}

// buildWords says whether words are a build, in any of its spellings, and what follows.
func buildWords(words []string) (rest []string, ok bool) {
	switch {
	case len(words) > 0 && words[0] == "build":
		return words[1:], true
	case len(words) > 1 && slices.Contains([]string{"image", "builder", "buildx"}, words[0]) && words[1] == "build":
		return words[2:], true
	}
	return nil, false
}

// become turns this process into the program of builds, with the same command line.
func become(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	program := beside(self, buildProgram)
	err = host.Become(program, append([]string{clientProgram}, args...), os.Environ())
	if errors.Is(err, os.ErrNotExist) {
		return &host.HintError{Err: fmt.Errorf("finding %s: %w", program, os.ErrNotExist), Fix: "it belongs beside linnet: install linnet anew, or `make build`"}
	}
	return fmt.Errorf("running %s: %w", program, err)
}

// beside is a program in the same folder as another.
func beside(program, name string) string {
	if target, err := filepath.EvalSymlinks(program); err == nil {
		program = target
	}
	return filepath.Join(filepath.Dir(program), name)
}

// extend adds the commands of builds to the tree: the extensions' own, or what becomes them.
func (a *app) extend(root *cobra.Command) {
	a.build = func(ctx context.Context, rest []string) error {
		root.SetArgs(append([]string{"build"}, rest...))
		return root.ExecuteContext(ctx)
	}
	if len(a.extensions) == 0 {
		a.build = func(context.Context, []string) error { return become(a.args) }
		c := a.buildStandIn()
		c.GroupID = groupCommands
		root.AddCommand(c)
	}
	for _, ext := range a.extensions {
		for _, c := range ext(&Env{a}) {
			c.GroupID = groupCommands
			root.AddCommand(c)
		}
	}
	buildx := group("buildx", "docker's name for what builds")
	buildx.Hidden, buildx.GroupID = true, groupManagement
	buildx.AddCommand(a.buildStandIn())
	root.AddCommand(buildx)
}

// buildStandIn is `build` where the command itself is elsewhere.
func (a *app) buildStandIn() *cobra.Command {
	return &cobra.Command{
		Use: "build", Short: "Build an image from a Dockerfile", DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error { return a.build(cmd.Context(), args) },
	}
}

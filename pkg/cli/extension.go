package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/registry"
	"github.com/linnet-dev/linnet/pkg/settings"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// The client's programs. What the others link would make the first too slow to start, so it
// becomes another for the commands that need that.
const (
	clientProgram  = "linnet"
	buildProgram   = "linnet-build"
	composeProgram = "linnet-compose"
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

// Forward runs a nerdctl command line in the guest as it is, also one that is for an extension.
func (e *Env) Forward(words []string) error { return e.app.forwardAsIs(words) }

// ForwardNaming is Forward for a line whose files name these registries, and no other.
func (e *Env) ForwardNaming(words, registries []string) error {
	return e.app.forwardNaming(words, registries)
}

// Grant answers for the registries that it is told of.
func (e *Env) Grant() *registry.Grant { return e.app.newGrant() }

// TellRefused says which credentials the engine was not given, if it has asked for such.
func (e *Env) TellRefused(g *registry.Grant) { e.app.tellRefused(g) }

// CloseReport takes linnet's live line away before something else is shown.
func (e *Env) CloseReport() { e.app.closeReport() }

// Usage is an error in the command line itself.
func Usage(err error, hint string) error { return &usageError{err: err, hint: hint} }

// Silent ends linnet with a code and no further word.
func Silent(code int) error { return &silentError{code: code} }

// programOf is the program with a command of linnet's own that linnet itself does not have; empty
// for one that it has.
func programOf(word string) string {
	switch word {
	case "build", "cache":
		return buildProgram
	case "compose":
		return composeProgram
	}
	return ""
}

// elsewhere is the program that a command line is for when that is not linnet itself. It looks at
// no more than the first words: a line with global flags before them is found by the tree, later.
func elsewhere(args []string) (program string) {
	if len(args) == 0 {
		return ""
	}
	if slices.Contains([]string{"help", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, args[0]) {
		args = args[1:]
		if len(args) > 0 && args[0] == "compose" {
			return "" // about compose the tables know enough
		}
	}
	if isSystemPrune(args) {
		return buildProgram
	}
	if own, ok := ownWords(args); ok {
		return programOf(own[0])
	}
	return ""
}

// ownWords says whether words are for another program than linnet itself, and what they are there:
// docker's spellings lead back to ours.
func ownWords(words []string) (own []string, ok bool) {
	if len(words) > 0 && (words[0] == "build" || words[0] == "cache") {
		return words, true
	}
	if len(words) < 2 {
		return nil, false
	}
	if words[0] == "compose" {
		return words, slices.Contains([]string{"build", "up", "create", "run", "pull", "push"}, ComposeWord(words[1:]))
	}
	switch strings.Join(words[:2], " ") {
	case "image build", "builder build", "buildx build":
		return append([]string{"build"}, words[2:]...), true
	case "builder prune", "buildx prune":
		return append([]string{"cache", "prune"}, words[2:]...), true
	case "buildx du":
		return append([]string{"cache", "du"}, words[2:]...), true
	}
	return nil, false
}

// ComposeWord is the command of compose that words are for, behind compose's own flags.
func ComposeWord(words []string) string {
	value := false // the next word is a flag's
	for _, w := range words {
		switch {
		case value:
			value = false
		case !strings.HasPrefix(w, "-"):
			return w
		case strings.HasPrefix(w, "--"):
			f := composeFlag(w[2:])
			value = f != nil && f.NoOpt == ""
		case len(w) == 2:
			f := composeFlag(w[1:])
			value = f != nil && f.NoOpt == ""
		}
	}
	return ""
}

// composeFlag is a flag that may stand between compose and its command, by name or shorthand.
func composeFlag(name string) *nerdctl.Flag {
	for _, c := range []*nerdctl.Command{nerdctl.Root().Find("compose"), nerdctl.Root()} {
		for i := range c.Flags {
			if f := &c.Flags[i]; f.Name == name || f.Shorthand == name && name != "" {
				return f
			}
		}
	}
	return nil
}

// become turns this process into another of the client's programs, with the same command line.
func become(name string, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	program := beside(self, name)
	err = host.Become(program, append([]string{clientProgram}, args...), os.Environ(), nil)
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

// extend adds the extensions' commands to the tree, and what becomes the program of builds.
func (a *app) extend(root *cobra.Command) {
	a.linked = map[string]bool{}
	for _, ext := range a.extensions {
		for _, c := range ext(&Env{a}) {
			a.linked[programOf(c.Name())] = true
			id := groupCommands
			if c.Name() == "cache" {
				id = groupOwn
			}
			root.AddCommand(inGroup(id, c))
		}
	}
	a.own = func(ctx context.Context, words []string) error {
		if program := programOf(words[0]); !a.linked[program] {
			return become(program, a.args)
		}
		root.SetArgs(words)
		return root.ExecuteContext(ctx)
	}
	if !a.linked[buildProgram] {
		root.AddCommand(inGroup(groupCommands, a.standIn("Build an image from a Dockerfile", "build")))
		root.AddCommand(inGroup(groupOwn, a.standIn("list, prune and move the build cache", "cache")))
	}
	buildx := group("buildx", "docker's name for what builds")
	buildx.Hidden, buildx.GroupID = true, groupManagement
	buildx.AddCommand(a.standIn("Build an image from a Dockerfile", "build"),
		a.standIn("Remove build cache", "cache", "prune"), a.standIn("How much space the build cache takes", "cache", "du"))
	root.AddCommand(buildx)
}

func inGroup(id string, c *cobra.Command) *cobra.Command {
	c.GroupID = id
	return c
}

// standIn is a command of linnet's own where the command itself is elsewhere.
func (a *app) standIn(short string, words ...string) *cobra.Command {
	return &cobra.Command{
		Use: words[len(words)-1], Short: short, DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.own(cmd.Context(), append(slices.Clone(words), args...))
		},
	}
}

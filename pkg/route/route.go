// Package route is the one table of what carries a command out: which of the client's programs has it, what it is called
// there, whether it needs BuildKit, and where its line names images of registries. It reads a command line once, by
// nerdctl's tables and linnet's own flags; what comes after goes by the path and the values that it returns.
//
// The package is pure. It must not know how anything is carried out.
package route

import (
	"strings"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

// Program is one of the client's programs. What the others link would make the first too slow to start, so it becomes another
// for the commands that need that.
type Program string

// The client's programs.
const (
	Client  Program = "linnet"
	Build   Program = "linnet-build"
	Compose Program = "linnet-compose"
	Lint    Program = "linnet-lint"
)

// Images says where a command line names the images for which a registry is asked.
type Images uint8

// Where a line names images. No command but these needs credentials of a registry.
const (
	NoImages Images = iota
	FirstArg        // the first positional
	AllArgs         // all positionals
	InFile          // a Dockerfile or a compose file, which has to be read
)

// Route is how a command is carried out.
type Route struct {
	// Program has the command; empty is Client.
	Program Program
	// Command is the command of linnet's own that it is, by space; empty where it is forwarded to nerdctl.
	Command string
	// Builds reports whether BuildKit has to be ready.
	Builds bool
	Images Images
}

// table has a row for each command that is not simply forwarded. A row is found by a command's whole canonical path, or by that of
// the top-level command which it repeats ("image build", "build").
var table = map[string]Route{
	"build":         {Program: Build, Command: "build", Builds: true, Images: InFile},
	"buildx build":  {Program: Build, Command: "build", Builds: true, Images: InFile},
	"cache":         {Program: Build, Command: "cache"},
	"builder prune": {Program: Build, Command: "cache prune"},
	"buildx prune":  {Program: Build, Command: "cache prune"},
	"buildx du":     {Program: Build, Command: "cache du"},
	"system df":     {Program: Build, Command: "system df"},
	"system prune":  {Program: Build, Builds: true}, // its last part is `cache prune`

	"lint":        {Program: Lint, Command: "lint"},
	"image check": {Program: Lint, Command: "image check"},

	"compose build":  {Program: Compose, Command: "compose", Builds: true, Images: InFile},
	"compose create": {Program: Compose, Command: "compose", Builds: true, Images: InFile},
	"compose run":    {Program: Compose, Command: "compose", Builds: true, Images: InFile},
	"compose up":     {Program: Compose, Command: "compose", Builds: true, Images: InFile},
	"compose pull":   {Program: Compose, Command: "compose", Images: InFile},
	"compose push":   {Program: Compose, Command: "compose", Images: InFile},

	// linnet's own, under names that nerdctl has as well.
	"buildx":     {Command: "buildx"},
	"completion": {Command: "completion"},
	"help":       {Command: "help"},
	"info":       {Command: "info"},
	"login":      {Command: "login"},
	"logout":     {Command: "logout"},
	"version":    {Command: "version"},

	"builder debug": {Builds: true, Images: InFile},

	"create": {Images: FirstArg},
	"pull":   {Images: FirstArg},
	"push":   {Images: FirstArg},
	"run":    {Images: FirstArg},
	"search": {Images: FirstArg},
	// These fetch what is missing of an image that is here in part. What is committed is the image of a container.
	"commit":           {Images: InFile},
	"convert":          {Images: FirstArg},
	"decrypt":          {Images: FirstArg},
	"encrypt":          {Images: FirstArg},
	"save":             {Images: AllArgs},
	"tag":              {Images: FirstArg},
	"manifest create":  {Images: AllArgs},
	"manifest inspect": {Images: AllArgs},
	"manifest push":    {Images: AllArgs},
}

// Of is the route of a command by its canonical path.
func Of(path []string) Route {
	if r, ok := table[strings.Join(path, " ")]; ok {
		return r
	}
	return table[nerdctl.Key(path)]
}

// Registries returns the registries that a line may have to log in to, as images' names begin with them ("docker.io"
// where one names none). more reports that the line reads a file which may name others.
func Registries(inv *nerdctl.Invocation) (names []string, more bool) {
	args := inv.Args
	switch use := Of(inv.Path).Images; {
	case use == InFile:
		return nil, true
	case use == NoImages, inv.Bool("rootfs"): // with --rootfs the argument is a directory
		return nil, false
	case use == FirstArg && len(args) > 1:
		args = args[:1]
	}
	for _, arg := range args {
		if name := nerdctl.RegistryOf(arg); name != "" {
			names = append(names, name)
		}
	}
	return names, false
}

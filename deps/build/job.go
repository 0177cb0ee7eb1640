package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/deps"
)

// job is a component ready to be built: what to run, and the key of the result.
type job struct {
	component deps.Component
	dir       string // the Go module to build in
	commands  []command
	mends     []mendText
	sysroot   sysroot
	key       string
}

// command is one run of go build, whose output is still to be given.
type command struct {
	File string   // slash-separated, below the prefix
	Args []string // of go, without -o and the package
	Env  []string
	From string // the import path
}

// inputs is everything that the result of a job depends on; its hash is the job's key. Two
// machines with equal inputs build equal programs.
type inputs struct {
	Component deps.Component
	Commands  []command
	Files     map[string]string `json:"Folder"` // path below the module's directory: sha256
	Toolchain map[string]string // what go env says, and with cgo the libraries
	Mends     []mendText        `json:",omitempty"`
}

// key is the hash of the inputs, in hex. encoding/json writes maps in the order of their keys.
func (in inputs) key() string {
	text, err := json.Marshal(in)
	if err != nil {
		panic(err) // strings, slices and maps of strings cannot fail
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// entry is the name of a job's directory in the cache.
func (j job) entry() string {
	return strings.ReplaceAll(title(j.component), " ", "-") + "-" + j.key[:12]
}

// title is a component's name and version; a program of ours has none.
func title(c deps.Component) string { return strings.TrimSpace(c.Name + " " + c.Version) }

// plan works out how a component is built, without building it.
func (b *builder) plan(ctx context.Context, c deps.Component) (job, error) {
	module := c.Name
	if b.module != "" {
		module = b.module
	}
	j := job{component: c, dir: filepath.Join(b.modules, module), commands: commands(c, b.goos, b.goarch)}
	files, err := hashDir(j.dir)
	if err != nil {
		return job{}, err
	}
	if j.sysroot, err = b.provideSysroot(ctx, c); err != nil {
		return job{}, err
	}
	toolchain, err := b.toolchain(ctx, c, j)
	if err != nil {
		return job{}, err
	}
	if j.mends, err = b.mendsOf(c.Name); err != nil {
		return job{}, err
	}
	j.key = inputs{c, j.commands, files, toolchain, j.mends}.key()
	return j, nil
}

// stamped is the version that a component's programs print: without Go's own mark of a module without a go.mod, and bare without
// that of a version.
func stamped(c deps.Component) string {
	version := strings.TrimSuffix(c.Version, "+incompatible")
	if c.Bare {
		return strings.TrimPrefix(version, "v")
	}
	return version
}

// commands are the builds of a component for a target: reproducible, without symbols.
func commands(c deps.Component, goos, goarch string) []command {
	var all []command
	for _, p := range c.Programs {
		link := "-s -w"
		if c.Stamp != "" {
			link += " -X " + c.Stamp + "=" + stamped(c)
		}
		cmd := command{
			File: p.File(goarch),
			Args: []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=" + link},
			Env:  []string{"GOOS=" + goos, "GOARCH=" + goarch, "CGO_ENABLED=0"},
			From: c.Source(p),
		}
		if c.GCFlags != "" {
			cmd.Args = append(cmd.Args, "-gcflags="+c.GCFlags)
		}
		if p.OS != "" {
			cmd.Env[0] = "GOOS=" + p.OS
		}
		if c.Cgo {
			cmd.Env[2] = "CGO_ENABLED=1"
		}
		if tags := slices.Concat(c.Tags, p.Tags); len(tags) > 0 {
			cmd.Args = append(cmd.Args, "-tags="+strings.Join(tags, ","))
		}
		all = append(all, cmd)
	}
	return all
}

// toolchainVariables change what Go makes of the same source. The C ones count with cgo only.
var (
	toolchainVariables = []string{"GOVERSION", "GOEXPERIMENT", "GOFIPS140", "GOAMD64", "GOARM64"}
	cVariables         = []string{"CC", "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_LDFLAGS"}
)

// toolchain asks Go in the component's own directory: a module may ask for a newer Go than ours.
func (b *builder) toolchain(ctx context.Context, c deps.Component, j job) (map[string]string, error) {
	names := toolchainVariables
	if c.Cgo {
		names = slices.Concat(names, cVariables)
	}
	out, err := b.output(ctx, j.dir, slices.Concat([]string{"env", "-json"}, names)...)
	if err != nil {
		return nil, fmt.Errorf("asking Go for its version: %w", err)
	}
	facts := map[string]string{}
	if err := json.Unmarshal(out, &facts); err != nil {
		return nil, fmt.Errorf("asking Go for its version: %w", err)
	}
	if b.crosses(c) { // its libraries come from the sysroot
		facts["CC"] = j.sysroot.compiler
		for name, version := range j.sysroot.packages {
			facts["package "+name] = version
		}
		return facts, nil
	}
	for _, n := range c.Needs {
		if n.Library == "" {
			continue
		}
		if facts["library "+n.Library], err = libraryVersion(ctx, n.Library); err != nil {
			return nil, err
		}
	}
	return facts, nil
}

// hashDir hashes every file below dir, by its slash-separated path.
func hashDir(dir string) (map[string]string, error) {
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		sums[filepath.ToSlash(rel)], err = deps.Digest(name)
		return err
	})
	if err == nil && len(sums) == 0 {
		err = fmt.Errorf("%s is empty", dir)
	}
	return sums, err
}

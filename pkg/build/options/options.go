// Package options is a build as plain data: what it is of, and the host that its paths and variables are of. The Parse
// functions turn flags' values into it as they were typed, and compose files fill it in, too. It must not know how a
// build is done: neither BuildKit nor containerd.
package options

import (
	"fmt"
	"strings"
)

// Options is one build. The zero value of a field means the builder's own choice.
type Options struct {
	// Context is a directory, "-" for standard input, or an address of git or http.
	Context string
	// File is the Dockerfile: a path, "-", an address; empty means the one in Context. Inline is
	// its text instead.
	File   string
	Inline string
	Target string

	Args     map[string]string
	Contexts []Context
	Labels   map[string]string
	Secrets  []Secret
	SSH      []SSH

	Platforms     []string
	NoCache       bool
	NoCacheFilter []string
	Pull          bool

	// Tags name the result. A name that --output gives itself stands besides them.
	Tags        []string
	Annotations []string
	Outputs     []Output
	Attests     map[string]string

	CacheFrom, CacheTo []Cache

	Network      string
	AddHosts     []string
	Ulimits      []string
	ShmSize      int64
	CgroupParent string
	Resources    map[string]string
	Allow        []string
	SourcePolicy string

	// Project is the portable name of what is built; see Project.
	Project string
	// CacheMounts is the namespace of cache mounts that the Dockerfile names; empty is the one
	// that all projects share.
	CacheMounts string
	// Request, when set, asks the frontend for something else than an image: "outline",
	// "targets", ...
	Request string
}

// GitSecrets are the secrets that BuildKit hands to git where it fetches; each may end in a dot and a host.
var GitSecrets = []string{"GIT_AUTH_TOKEN", "GIT_AUTH_HEADER"}

// Remarks are what a user should know of a build before it runs, a line each.
func (o Options) Remarks() (all []string) {
	for _, s := range o.Secrets {
		for _, name := range GitSecrets {
			if s.ID == name || strings.HasPrefix(s.ID, name+".") {
				all = append(all, fmt.Sprintf("the secret %s: BuildKit hands it to git as an argument, which users of the engine's machine can see while git fetches; --ssh shows nothing", s.ID))
			}
		}
	}
	return all
}

// Context is an additional build context.
type Context struct{ Name, Value string }

// Secret is a file or a variable of the host that a step may ask for.
type Secret struct{ ID, File, Env string }

// SSH is an agent of the host, or keys, that a step may use.
type SSH struct {
	ID    string
	Paths []string
}

// Output is one exporter.
type Output struct {
	Type string
	// Dest is a file or directory of the host, or "-".
	Dest  string
	Attrs map[string]string
}

// Cache is where build cache comes from or goes to.
type Cache struct {
	Type  string
	Attrs map[string]string
}

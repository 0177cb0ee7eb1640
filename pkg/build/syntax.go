package build

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/version"

	"github.com/linnet-dev/linnet/pkg/build/options"
)

// dockerFrontend is the image that `# syntax=docker/dockerfile:1` names.
const dockerFrontend = "docker.io/docker/dockerfile"

// addSyntax lets BuildKit's own frontend read a Dockerfile that asks for docker/dockerfile in a
// version that it covers: it is the same program, and no registry is needed. Any other is
// fetched, as it says.
func (j *job) addSyntax(_ options.Host, o options.Options) error {
	if asked, ok := o.Args["BUILDKIT_SYNTAX"]; ok && asked != "" {
		name, _, _ := strings.Cut(strings.TrimSpace(asked), " ")
		if covered(name) {
			delete(j.attrs, "build-arg:BUILDKIT_SYNTAX")
			j.attrs[cmdlineKey] = asked
			return nil
		}
		j.opt.Frontend = "gateway.v0"
		j.attrs["source"], j.attrs[cmdlineKey] = name, asked
		return nil
	}
	if name, cmdline, ok := syntax(j.file.Text); ok && covered(name) {
		// A frontend that knows how it was called looks for no other.
		j.attrs[cmdlineKey] = cmdline
	}
	return nil
}

func syntax(text []byte) (name, cmdline string, ok bool) {
	if text == nil {
		return "", "", false
	}
	name, cmdline, _, ok = parser.DetectSyntax(text)
	return name, cmdline, ok
}

// covered reports whether BuildKit's own frontend is at least what a name asks for: docker/dockerfile:1,
// :1.N or :1.N.P, but nothing that is pinned by digest, and no other channel (:1-labs, :master).
func covered(name string) bool {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil || named.Name() != dockerFrontend {
		return false
	}
	if _, pinned := named.(reference.Digested); pinned {
		return false
	}
	tag := "latest"
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	if tag == "latest" {
		return true
	}
	asked, ok := numbers(tag)
	have, _ := numbers(version.Version())
	if !ok || len(have) < 2 || asked[0] != have[0] {
		return false
	}
	for i := 1; i < len(asked) && i < len(have); i++ {
		if asked[i] != have[i] {
			return asked[i] < have[i]
		}
	}
	return true
}

// numbers reads a version of up to three numbers; what follows a hyphen in our own is not part of
// it.
func numbers(v string) ([]int, bool) {
	if v == version.Version() {
		v, _, _ = strings.Cut(strings.TrimPrefix(v, "v"), "-")
	}
	var all []int
	for _, part := range strings.Split(v, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, false
		}
		all = append(all, n)
	}
	return all, len(all) <= 3
}

// Syntax is the newest version of docker/dockerfile that needs no registry.
func Syntax() string {
	n, _ := numbers(version.Version())
	if len(n) < 2 {
		return ""
	}
	return fmt.Sprintf("docker/dockerfile:%d.%d", n[0], n[1])
}

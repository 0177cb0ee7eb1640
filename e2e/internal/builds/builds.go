//go:build e2e

// Package builds is what `linnet build` has to do on a real engine, whichever it is: a case per
// flag, and a case per project of examples/build. The engine on this host and the one in a
// virtual machine run the same cases. It must not know which one it has: what differs, a Target
// says.
package builds

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// Target is an engine that the cases run on.
type Target struct {
	Engine *lab.Engine
	// Base is an image in the engine, of busybox, to build from.
	Base string
	// Host is what 127.0.0.1 of this host is called where the engine is.
	Host string
	// Registry is the HOST:PORT, as the engine calls it, of a registry that takes everything
	// and that the engine may use without TLS.
	Registry string
	// Inside runs a program as root where the engine is, outside of any container, and returns
	// its standard output without the last newline.
	Inside func(t *testing.T, argv ...string) string
}

// place is where one case is tried.
type place struct {
	*testing.T
	Target
	// name is the case's, dir a directory of its own.
	name, dir string
}

// with is the place when variables are set for linnet.
func (p place) with(env ...string) place {
	e := *p.Engine
	e.Env = append(slices.Clone(e.Env), env...)
	p.Engine = &e
	return p
}

// fromEngine is the address of a server on this host's loopback as the engine calls it.
func (p place) fromEngine(url string) string {
	return strings.Replace(url, "127.0.0.1", p.Host, 1)
}

// has fails the test when a text is missing in another.
func (p place) has(text string, wants ...string) {
	p.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			p.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func (p place) read(path string) string {
	p.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/registry"
	"github.com/linnet-dev/linnet/pkg/route"
)

// newGrant answers for no registry yet.
func (a *app) newGrant(hostsDirs ...string) *registry.Grant {
	if s, err := a.Settings(); err == nil {
		hostsDirs = append(hostsDirs, s.Engine.HostsDirs...)
	}
	return registry.Open(os.Environ()).Grant(hostsDirs...)
}

// grantFor answers for the registries that a command line names; nil where it needs none. registries
// are those that its files name, nil where nobody has looked.
func (a *app) grantFor(inv *nerdctl.Invocation, registries []string) *registry.Grant {
	names, more := route.Registries(inv)
	if len(names) == 0 && !more {
		return nil
	}
	g := a.newGrant(inv.Strings("hosts-dir")...)
	g.Allow(names...)
	g.Allow(registries...)
	if more && registries == nil {
		g.AllowOthers()
	}
	return g
}

// credentials are a grant's; nil without one.
func credentials(g *registry.Grant) func(context.Context, string) (guest.Credentials, error) {
	if g == nil {
		return nil
	}
	return g.Credentials
}

// tellRefused says, once, which credentials the engine was not given.
func (a *app) tellRefused(g *registry.Grant) {
	if g == nil {
		return
	}
	if text := g.Refused(); text != "" {
		fmt.Fprintln(a.streams.Err, "warning:", text)
	}
}

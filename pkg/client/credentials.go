package client

import (
	"context"
	"fmt"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/registry"
	"github.com/linnet-dev/linnet/pkg/route"
)

// NewGrant answers for no registry yet. hostsDirs are further directories of registries' hosts.toml.
func (c *Client) NewGrant(hostsDirs ...string) *registry.Grant {
	return c.Registries.Grant(append(hostsDirs, c.HostsDirs...)...)
}

// grantFor answers for the registries that a command line names; nil where it needs none. registries
// are those that its files name, nil where they were not looked at.
func (c *Client) grantFor(inv *nerdctl.Invocation, registries []string) *registry.Grant {
	names, more := route.Registries(inv)
	if c.Registries == nil || len(names) == 0 && !more {
		return nil
	}
	g := c.NewGrant(inv.Strings("hosts-dir")...)
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

// TellRefused says, once, which credentials the engine asked for and was not given; g may be nil.
func (c *Client) TellRefused(g *registry.Grant) {
	if g == nil {
		return
	}
	if text := g.Refused(); text != "" {
		fmt.Fprintln(c.Streams.Err, "warning:", text)
	}
}

package agent

import (
	"context"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
)

// Credentials asks the client of a running command, from inside, by the command's token.
// Empty ones mean that there are none.
func (c *Client) Credentials(ctx context.Context, token, registry string) (guest.Credentials, error) {
	got, err := agentpb.NewHelperClient(c.conn).Ask(ctx, &agentpb.HelperRequest{Token: token, Registry: registry})
	if err != nil {
		return guest.Credentials{}, c.failure(err)
	}
	switch got.GetError() {
	case "":
		return guest.Credentials{Username: got.GetUsername(), Secret: got.GetSecret()}, nil
	case NotFound:
		return guest.Credentials{}, nil
	default:
		return guest.Credentials{}, &farError{text: said(got.GetError())}
	}
}

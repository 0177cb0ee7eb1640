package client

import (
	"context"
	"errors"

	"github.com/linnet-dev/linnet/pkg/emulate"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

// Emulate makes the programs of some platforms run in the guest. It returns, by
// architecture, what to tell the user once something that is emulated runs. An error says why one's programs do not run, and
// what to do; a build that runs none of them need not mind it.
func (c *Client) Emulate(ctx context.Context, platforms []string) (notes map[string]string, err error) {
	var errs []error
	notes = map[string]string{}
	for _, p := range platforms {
		arch, foreign := emulate.Foreign(c.Arch, p)
		if _, seen := notes[arch.Name]; seen || !foreign {
			continue
		}
		interpreter, err := c.Emulator(ctx, arch)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		notes[arch.Name] = emulate.Note(arch, c.Arch, interpreter)
	}
	return notes, errors.Join(errs...)
}

// emulateFor is Emulate for a command line that makes a container and says for which platform.
func (c *Client) emulateFor(ctx context.Context, inv *nerdctl.Invocation) error {
	if len(inv.Path) == 0 || inv.Composes() || !inv.IsSet("platform") {
		return nil
	}
	if last := inv.Path[len(inv.Path)-1]; last != "run" && last != "create" {
		return nil
	}
	notes, err := c.Emulate(ctx, []string{inv.String("platform")})
	for _, note := range notes {
		if !inv.Bool("quiet") {
			c.Note(note)
		}
	}
	return err
}

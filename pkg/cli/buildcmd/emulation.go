package buildcmd

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// Emulation is one build's view of other processors' programs.
type Emulation struct {
	env *cli.Env
	// missing says why some do not run. It is minded only if the build fails: it may run none.
	missing error
}

// NewEmulation is for one build: what Explain says is about what Enable has found.
func NewEmulation(env *cli.Env) *Emulation { return &Emulation{env: env} }

// Enable sees to it that programs of platforms run, and returns what there is to tell the user, by
// architecture. It is a build.Session's Emulate.
func (e *Emulation) Enable(ctx context.Context, platforms []string) (notes map[string]string) {
	notes, e.missing = e.env.Emulate(ctx, platforms)
	return notes
}

// Explain adds to a step's failure that programs of its platform do not run here, if that may
// be why: the kernel's own words are in the step's output, and the step's exit code is runc's.
func (e *Emulation) Explain(err error) error {
	text := err.Error()
	if e.missing == nil || !strings.Contains(text, "exec format error") && !strings.Contains(text, "exit code: 255") {
		return err
	}
	fix := cmp.Or(hint.Of(e.missing), "linnet emulation status")
	return &hint.Error{Err: fmt.Errorf("%w (%s)", err, strings.ReplaceAll(e.missing.Error(), "\n", "; ")), Fix: fix}
}

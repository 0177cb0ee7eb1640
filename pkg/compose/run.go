package compose

import (
	"context"
	"errors"
	"sync"
)

// Run does the builds of a plan, all at once but for those that wait for others. The first one
// that fails ends the others; its error names the service.
func Run(ctx context.Context, plan []Build, do func(context.Context, Build) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := map[string]chan struct{}{}
	for _, b := range plan {
		done[b.Service] = make(chan struct{})
	}
	var all sync.WaitGroup
	for _, b := range plan {
		all.Go(func() {
			for _, name := range b.After {
				if other, ok := done[name]; ok {
					select {
					case <-other:
					case <-ctx.Done():
						return
					}
				}
			}
			if err := do(ctx, b); err != nil {
				cancel(failed{inService(b.Service, err)}) // the first one counts
				return
			}
			close(done[b.Service])
		})
	}
	all.Wait()
	var f failed
	if err := context.Cause(ctx); errors.As(err, &f) {
		return f.error
	}
	return context.Cause(ctx)
}

// failed is why the builds that still ran were called off.
type failed struct{ error }

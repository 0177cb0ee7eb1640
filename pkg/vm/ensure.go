package vm

import (
	"context"
	"errors"
	"fmt"

	"github.com/linnet-dev/linnet/pkg/report"
)

// Machine is a virtual machine that can be observed and changed.
type Machine interface {
	// Lock takes the lock of the one that changes it; others wait.
	Lock(ctx context.Context) (release func(), err error)
	// Answers says, quickly, whether its agent answers.
	Answers(ctx context.Context) bool
	// Want says what is wanted; it may take its time to find out what the host can do.
	Want(ctx context.Context) (Spec, error)
	// Observe says what is there.
	Observe(ctx context.Context) (State, error)
	// Do does one step of a plan, and may tell note what the step is at.
	Do(ctx context.Context, want Spec, step Step, note func(text string)) error
}

// Ensure makes a machine as the goal says, and shows each step. A command that waited for the lock
// looks again: of many at once, one works. An error names the step that failed.
func Ensure(ctx context.Context, m Machine, goal Goal, r *report.Reporter) error {
	release, err := m.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	if goal == Started && m.Answers(ctx) {
		return nil // another one has just started it
	}
	for fetched := false; ; fetched = true {
		want, plan, err := Find(ctx, m, goal)
		if err != nil {
			return err
		}
		if plan.Refused != nil {
			return plan.Refused
		}
		steps, fetches := plan.untilFetched()
		if fetches && fetched {
			return fmt.Errorf("%s: it has come, and is not here", steps[len(steps)-1].Name())
		}
		if err := execute(ctx, m, want, steps, r); err != nil || !fetches {
			return err
		}
		// Only now is it known what is wanted: it depends on the image. It is looked at again.
	}
}

// Find observes and compares.
func Find(ctx context.Context, m Machine, goal Goal) (want Spec, plan Plan, err error) {
	switch goal {
	case Started, Restarted, Initialised:
		if want, err = m.Want(ctx); err != nil {
			return want, plan, err
		}
	}
	have, err := m.Observe(ctx)
	if err != nil {
		return want, plan, err
	}
	return want, Compare(want, have, goal), nil
}

func execute(ctx context.Context, m Machine, want Spec, steps []Step, r *report.Reporter) error {
	for i, step := range steps {
		shown := r.Step(step.Name())
		if err := m.Do(ctx, want, step, shown.Note); err != nil {
			shown.Fail(err)
			err = fmt.Errorf("%s: %w", step.Name(), err)
			return errors.Join(err, undo(context.WithoutCancel(ctx), m, want, steps[:i+1]))
		}
		shown.Done()
	}
	return nil
}

// undo takes back what a creation that failed has made so far, the last first. A start that
// failed is not taken back: what is there tells why, and the next start begins with it.
func undo(ctx context.Context, m Machine, want Spec, done []Step) (failed error) {
	const cause = "it was not finished"
	switch done[len(done)-1].Kind {
	case Create, CreateDisk, GrowDisk, UnlockDisk:
	default:
		return nil
	}
	for i := len(done) - 1; i >= 0; i-- {
		var back Step
		switch done[i].Kind {
		case Create:
			back = Step{Kind: RemoveTorn, Cause: cause}
		case CreateDisk:
			back = Step{Kind: DeleteDisk, Cause: cause} // it is new and empty
			if i == len(done)-1 {
				back.Kind = RemoveTornDisk // this one failed
			}
		default:
			continue
		}
		if err := m.Do(ctx, want, back, func(string) {}); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", back.Name(), err))
		}
	}
	return failed
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/linnet-dev/linnet/deps"
)

// checkMends runs go vet and a mended package's own tests on the mended copies of each component. What has passed once is not
// run again: the same inputs have the same key.
func (b *builder) checkMends(ctx context.Context, wanted []deps.Component) error {
	unlock, err := lockCache(ctx, b.cache, func() { b.say("waiting for another run, which holds %s", b.cache) })
	if err != nil {
		return err
	}
	defer unlock()
	for _, c := range wanted {
		j, err := b.plan(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		if len(j.mends) == 0 {
			continue
		}
		passed := filepath.Join(b.cache, "checked-"+j.entry())
		if _, err := os.Stat(passed); err == nil {
			b.say("%s: %d mends, as they have passed before", c.Name, len(j.mends))
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := b.checkJob(ctx, j); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		if err := os.WriteFile(passed, nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) checkJob(ctx context.Context, j job) (err error) {
	work, err := os.MkdirTemp(b.cache, tempPrefix+"check-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	dir, err := b.mend(ctx, j, work)
	if err != nil {
		return err
	}
	var packages []string
	for _, m := range j.mends {
		packages = append(packages, path.Join(m.Module, path.Dir(m.File)))
	}
	for _, args := range [][]string{{"vet", "-mod=mod"}, {"test", "-mod=mod"}} { // their tests import more than the programs do
		b.say("%s: go %s of %d mended packages", j.component.Name, args[0], len(packages))
		if out, err := b.output(ctx, dir, append(args, packages...)...); err != nil {
			return fmt.Errorf("%w\n%s", err, lastLines(string(out), 30))
		}
	}
	return nil
}

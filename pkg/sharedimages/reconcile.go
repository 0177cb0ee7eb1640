package sharedimages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// errMoved says that a client changed a record between our look and our change: it is looked at again.
var errMoved = errors.New("a record changed in the meantime")

// reconciler is a keeper at work, in one goroutine.
type reconciler struct {
	*Keeper
	memory *memory
	due    queue
	// vanished is since when a name is one that a side removed.
	vanished map[string]time.Time
	failures map[string]int
	// partial has the targets that could not be shared since they are not whole, which is said once.
	partial map[string]digest.Digest
}

// list finds the names that something is to be done about, and forgets what is of no use any more.
func (r *reconciler) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	names := map[string]*situation{}
	at := func(name string) *situation {
		if names[name] == nil {
			names[name] = &situation{Last: r.memory.last(name)}
		}
		return names[name]
	}
	for side := range r.Sides {
		all, err := r.Client.ImageService().List(r.in(ctx, side))
		if err != nil {
			return fmt.Errorf("listing images of namespace %s: %w", r.Sides[side], err)
		}
		for _, img := range all {
			if isShared(img.Name) {
				at(img.Name).Records[side] = recordOf(img)
			}
		}
	}
	for name := range r.memory.names {
		at(name)
	}
	now := time.Now()
	for name, s := range names {
		if a := decide(*s); a.Kind != nothing {
			r.due.add(name, now)
		}
	}
	return nil
}

func recordOf(img images.Image) *record {
	return &record{Target: img.Target.Digest, Created: img.CreatedAt, Updated: img.UpdatedAt}
}

// handle does what there is to do about a name, now or, where a client may be in the middle of it, later.
func (r *reconciler) handle(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	err := r.reconcile(ctx, name)
	switch {
	case err == nil:
		delete(r.failures, name)
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
	case errors.Is(err, errMoved):
		r.due.add(name, time.Now())
	default:
		if r.failures[name] == 0 {
			r.Log.WithError(err).WithField("image", name).Warn("sharing an image")
		}
		r.due.add(name, time.Now().Add(r.times.backoff(r.failures[name])))
		r.failures[name]++
	}
}

func (t times) backoff(failures int) time.Duration {
	return min(t.retry<<min(failures, 16), t.retryLimit)
}

func (r *reconciler) reconcile(ctx context.Context, name string) error {
	records, s, err := r.look(ctx, name)
	if err != nil {
		return err
	}
	a := decide(s)
	if a.Kind != remove && a.Kind != putBack {
		delete(r.vanished, name)
	} else if wait := r.wait(name, a.Kind); wait > 0 {
		r.due.add(name, time.Now().Add(wait))
		return nil
	}
	switch a.Kind {
	case forget:
		r.memory.forget(name)
	case complete:
		if err := r.completeBoth(ctx, records[0].Target); err != nil {
			return err
		}
		r.remember(name, *records[0], *records[1])
	case overlay, putBack:
		return r.overlay(ctx, a.Side, *records[a.Side], records[1-a.Side])
	case remove:
		return r.remove(ctx, a.Side, *records[a.Side])
	}
	return nil
}

// wait is for how long a removal is not yet followed.
func (r *reconciler) wait(name string, k kind) time.Duration {
	since, known := r.vanished[name]
	if !known {
		since = time.Now()
		r.vanished[name] = since
	}
	if k == putBack {
		return r.times.putBack - time.Since(since)
	}
	return r.times.remove - time.Since(since)
}

// look reads what a decision on a name goes by.
func (r *reconciler) look(ctx context.Context, name string) (records [2]*images.Image, s situation, err error) {
	s.Last = r.memory.last(name)
	for side := range r.Sides {
		img, err := r.Client.ImageService().Get(r.in(ctx, side), name)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return records, s, fmt.Errorf("reading its record in namespace %s: %w", r.Sides[side], err)
		}
		records[side], s.Records[side] = &img, recordOf(img)
	}
	if side, needs := s.needsUse(); needs {
		s.InUse[side], err = r.inUse(ctx, side, *records[side])
	}
	return records, s, err
}

// inUse reports whether containers of a side use a record: by its name, or by its digest where no other name has that.
func (r *reconciler) inUse(ctx context.Context, side int, img images.Image) (bool, error) {
	if r.InUse == nil {
		return false, nil
	}
	used, err := r.InUse(ctx, r.Sides[side])
	if err != nil {
		return false, fmt.Errorf("finding the images in use in namespace %s: %w", r.Sides[side], err)
	}
	if used[img.Name] {
		return true, nil
	}
	return r.lastOfUsed(ctx, side, img, used)
}

// lastOfUsed reports whether a digest is in use, and this is its only name on a side.
func (r *reconciler) lastOfUsed(ctx context.Context, side int, img images.Image, used map[string]bool) (bool, error) {
	if !used[img.Target.Digest.String()] {
		return false, nil
	}
	same, err := r.Client.ImageService().List(r.in(ctx, side), fmt.Sprintf("target.digest==%q", img.Target.Digest))
	if err != nil {
		return false, fmt.Errorf("listing the names of %s: %w", img.Target.Digest, err)
	}
	return !slices.ContainsFunc(same, func(other images.Image) bool { return other.Name != img.Name }), nil
}

// overlay makes a side's record the other side's, where that has none or one with another target.
func (r *reconciler) overlay(ctx context.Context, from int, img images.Image, old *images.Image) error {
	to := 1 - from
	blobs, err := readTree(r.in(ctx, from), r.Client.ContentStore(), img.Target)
	if errors.Is(err, errPartial) {
		if r.partial[img.Name] != img.Target.Digest {
			r.partial[img.Name] = img.Target.Digest
			r.Log.WithField("image", img.Name).WithField("namespace", r.Sides[from]).Info("an image is not shared: " + err.Error())
		}
		return nil
	}
	if err != nil {
		return err
	}
	leased, end, err := r.lease(r.in(ctx, to))
	if err != nil {
		return err
	}
	defer end()
	if err := r.share(leased, blobs); err != nil {
		return err
	}
	fresh := images.Image{Name: img.Name, Target: img.Target, Labels: imageLabels(img.Labels)}
	if old == nil {
		fresh, err = r.Client.ImageService().Create(leased, fresh)
	} else {
		fresh, err = r.replace(leased, to, *old, fresh)
	}
	if errdefs.IsAlreadyExists(err) || errdefs.IsNotFound(err) {
		return errMoved
	}
	if err != nil && !errors.Is(err, errMoved) {
		err = fmt.Errorf("writing its record in namespace %s: %w", r.Sides[to], err)
	}
	if err != nil {
		return err
	}
	delete(r.partial, img.Name)
	delete(r.vanished, img.Name)
	var both [2]images.Image
	both[from], both[to] = img, fresh
	r.remember(img.Name, both[0], both[1])
	return nil
}

// replace gives a record another target, if it is still the one that was looked at: containerd has no such condition, so that this is asked
// as late as can be.
func (r *reconciler) replace(ctx context.Context, side int, old, fresh images.Image) (images.Image, error) {
	if err := r.setAside(ctx, side, old); err != nil {
		return fresh, err
	}
	now, err := r.Client.ImageService().Get(ctx, old.Name)
	if err != nil {
		return fresh, err
	}
	if now.Target.Digest != old.Target.Digest {
		return fresh, errMoved
	}
	return r.Client.ImageService().Update(ctx, fresh, "target", "labels")
}

// setAside keeps an image that containers use under a name of that side's own, when its last name is given to another one.
func (r *reconciler) setAside(ctx context.Context, side int, old images.Image) error {
	if r.InUse == nil || r.Aside == nil {
		return nil
	}
	name := r.Aside(r.Sides[side], old.Target.Digest)
	if name == "" {
		return nil
	}
	used, err := r.InUse(ctx, r.Sides[side])
	if err != nil {
		return fmt.Errorf("finding the images in use in namespace %s: %w", r.Sides[side], err)
	}
	last, err := r.lastOfUsed(ctx, side, old, used)
	if err != nil || !last {
		return err
	}
	_, err = r.Client.ImageService().Create(ctx, images.Image{Name: name, Target: old.Target, Labels: maps.Clone(old.Labels)})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("keeping %s, which a container uses: %w", old.Target.Digest, err)
	}
	return nil
}

// remove removes a side's record, as the other side's was.
func (r *reconciler) remove(ctx context.Context, side int, img images.Image) error {
	err := r.Client.ImageService().Delete(r.in(ctx, side), img.Name, images.DeleteTarget(&img.Target))
	if errdefs.IsNotFound(err) {
		return errMoved
	}
	if err != nil {
		return fmt.Errorf("removing its record in namespace %s: %w", r.Sides[side], err)
	}
	delete(r.vanished, img.Name)
	r.memory.forget(img.Name)
	return nil
}

func (r *reconciler) remember(name string, first, second images.Image) {
	r.memory.remember(name, agreement{
		Target:  first.Target.Digest,
		Records: [2]stamp{recordOf(first).stamp(), recordOf(second).stamp()},
	})
}

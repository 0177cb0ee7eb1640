package sharedimages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
)

const (
	app = "registry.example/team/app:v1"
	web = "registry.example/team/web:v1"
)

func TestWhatOneSideRemovedGoes(t *testing.T) {
	e := newEngine(t)
	e.create(first, app, "a")
	kept := e.create(second, web, "b")
	e.reconcile()
	e.remove(second, app)
	e.reconcile()
	e.same(web + "=" + short(kept))
	e.remove(first, web)
	e.reconcile()
	e.same()
	err := e.local.Walk(t.Context(), func(i content.Info) error { return fmt.Errorf("blob %s is left", i.Digest) })
	if err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(e.keeper.Memory); err != nil || strings.Contains(string(text), app) {
		t.Errorf("what is remembered: %s, %v", text, err)
	}
}

func TestARetaggedImageIsTheOtherSidesToo(t *testing.T) {
	e := newEngine(t)
	e.create(first, app, "a")
	e.reconcile()
	b := e.create(second, app, "b")
	e.reconcile()
	e.same(app + "=" + short(b))
	c := e.create(first, app, "c")
	e.reconcile()
	e.same(app + "=" + short(c))
	// moby deletes the record and makes a new one.
	d := e.manifest(second, "d")
	e.remove(second, app)
	e.tag(second, app, d)
	e.reconcile()
	e.same(app + "=" + short(d))
}

// A tag copies a record with its labels; with what is remembered in a label, the new name would be taken for one that was removed.
func TestAnotherNameOfASharedImage(t *testing.T) {
	e := newEngine(t)
	target := e.create(first, app, "a")
	e.reconcile()
	img, err := e.ImageService().Get(e.in(second), app)
	if err != nil {
		t.Fatal(err)
	}
	img.Name = web
	if _, err := e.ImageService().Create(e.in(second), img); err != nil {
		t.Fatal(err)
	}
	e.reconcile()
	e.same(app+"="+short(target), web+"="+short(target))
}

func TestWhatIsInUseIsPutBack(t *testing.T) {
	e := newEngine(t)
	a := e.create(first, app, "a")
	e.reconcile()
	e.use(first, app)
	e.remove(second, app)
	e.reconcile()
	e.same(app + "=" + short(a))
	// The other side's use does not matter: it let go of it.
	e.use(first)
	e.use(second, app)
	e.remove(second, app)
	e.reconcile()
	e.same()
}

func TestADigestInUseKeepsOneOfItsNames(t *testing.T) {
	e := newEngine(t)
	a := e.create(second, app, "a")
	e.tag(second, web, a)
	e.reconcile()
	e.use(second, a.Digest.String())
	e.remove(first, app)
	e.reconcile()
	e.same(web + "=" + short(a))
	e.remove(first, web)
	e.reconcile()
	e.same(web + "=" + short(a))
	// Both at once, as a prune does.
	e.tag(second, app, a)
	e.reconcile()
	e.remove(first, app)
	e.remove(first, web)
	e.reconcile()
	e.same(web + "=" + short(a))
}

func TestADigestInUseThatLosesItsNameIsSetAside(t *testing.T) {
	e := newEngine(t)
	a := e.create(second, app, "a")
	e.reconcile()
	e.use(second, a.Digest.String())
	b := e.create(first, app, "b")
	e.reconcile()
	e.collect()
	want := []string{"moby-dangling@" + a.Digest.String() + "=" + short(a), app + "=" + short(b)}
	if got := e.names(second); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if _, err := readTree(e.in(second), e.content, a); err != nil {
		t.Error(err)
	}
	if got := e.names(first); !slices.Equal(got, want[1:]) {
		t.Errorf("%v", got)
	}
}

func TestWhatIsInUseCannotBeFoundOut(t *testing.T) {
	e := newEngine(t)
	a := e.create(first, app, "a")
	e.reconcile()
	e.remove(second, app)
	failures := 3
	e.keeper.InUse = func(context.Context, string) (map[string]bool, error) {
		if failures--; failures >= 0 {
			if got := e.names(first); !slices.Equal(got, []string{app + "=" + short(a)}) {
				t.Errorf("it is removed before its use is known: %v", got)
			}
			return nil, errors.New("no answer")
		}
		return nil, nil
	}
	e.reconcile()
	e.same()
	if got := e.texts(); !slices.Equal(got, []string{"sharing an image"}) {
		t.Errorf("the log has %q", got)
	}
}

func TestBothSidesMoved(t *testing.T) {
	e := newEngine(t)
	e.create(first, app, "a")
	e.reconcile()
	e.create(second, app, "b")
	c := e.create(first, app, "c")
	e.reconcile()
	e.same(app + "=" + short(c))
	e.create(first, app, "d")
	f := e.create(second, app, "f")
	e.reconcile()
	e.same(app + "=" + short(f))
}

func TestBothSidesHadImagesBefore(t *testing.T) {
	e := newEngine(t)
	a := e.create(first, app, "a")
	e.create(second, app, "a")
	e.create(first, web, "b")
	c := e.create(second, web, "c")
	e.reconcile()
	e.same(app+"="+short(a), web+"="+short(c))
}

func TestBookkeepingOfOneSideStaysThere(t *testing.T) {
	e := newEngine(t)
	a := e.manifest(first, "a")
	e.tag(first, ":", a)
	e.tag(first, "overlayfs@"+a.Digest.String(), a)
	b := e.manifest(second, "b")
	e.tag(second, "moby-dangling@"+b.Digest.String(), b)
	e.reconcile()
	if one, other := e.names(first), e.names(second); len(one) != 2 || len(other) != 1 {
		t.Errorf("%v, %v", one, other)
	}
}

// An older memory than the records, or none, has nothing removed that a client did not remove.
func TestAnOldMemoryDoesNoHarm(t *testing.T) {
	e := newEngine(t)
	e.create(first, app, "a")
	e.reconcile()
	old, err := os.ReadFile(e.keeper.Memory)
	if err != nil {
		t.Fatal(err)
	}
	e.remove(first, app)
	e.reconcile()
	a := e.create(second, app, "a")
	if err := os.WriteFile(e.keeper.Memory, old, 0o600); err != nil {
		t.Fatal(err)
	}
	e.reconcile()
	e.same(app + "=" + short(a))
	for _, text := range []string{"", "{", `{"version":2,"names":{}}`, `{"version":1,"sides":["x","y"],"names":{}}`} {
		if err := os.WriteFile(e.keeper.Memory, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		e.remove(first, app)
		e.reconcile()
		e.same(app + "=" + short(a))
	}
	if got := e.texts(); len(got) != 2 {
		t.Errorf("the log has %q", got)
	}
}

// A client that replaces a record deletes it first, and fails when another one makes it.
func TestARemovalIsNotFollowedAtOnce(t *testing.T) {
	e := newEngine(t)
	a := e.create(first, app, "a")
	e.reconcile()
	e.keeper.times.remove, e.keeper.times.putBack = time.Hour, 2*time.Hour
	e.remove(second, app)
	r := e.keeper.reconciler()
	r.handle(t.Context(), app)
	if got := e.names(first); !slices.Equal(got, []string{app + "=" + short(a)}) {
		t.Errorf("%v", got)
	}
	if wait, some := r.due.wait(); !some || wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("it is looked at again in %v", wait)
	}
	e.use(first, app)
	delete(r.due, app)
	r.handle(t.Context(), app)
	if wait, some := r.due.wait(); !some || wait < 119*time.Minute {
		t.Errorf("it is looked at again in %v", wait)
	}
	b := e.create(second, app, "b")
	r.handle(t.Context(), app)
	e.same(app + "=" + short(b))
	if len(r.vanished) != 0 {
		t.Errorf("%v", r.vanished)
	}
}

// A client may change a record while its image is being shared.
func TestARecordThatMovesMeanwhile(t *testing.T) {
	e := newEngine(t)
	a := e.create(first, app, "a")
	e.reconcile()
	r := e.keeper.reconciler()
	b := e.create(first, app, "b")
	source, err := e.ImageService().Get(e.in(first), app)
	if err != nil {
		t.Fatal(err)
	}
	c := e.create(second, app, "c")
	old := images.Image{Name: app, Target: a}
	if err := r.overlay(t.Context(), 0, source, &old); !errors.Is(err, errMoved) {
		t.Errorf("over a record that moved: %v", err)
	}
	if err := r.overlay(t.Context(), 0, source, nil); !errors.Is(err, errMoved) {
		t.Errorf("over a record that was made: %v", err)
	}
	if err := r.remove(t.Context(), 1, old); !errors.Is(err, errMoved) {
		t.Errorf("removing one that moved: %v", err)
	}
	if one, other := e.names(first), e.names(second); one[0] != app+"="+short(b) || other[0] != app+"="+short(c) {
		t.Errorf("%v, %v", one, other)
	}
}

func TestTwoHundredImages(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds where the disk is slow")
	}
	e := newEngine(t)
	var want []string
	for i := range 20 {
		side := []string{first, second}[i%2]
		target := e.manifest(side, fmt.Sprint(i))
		for n := range 10 {
			name := fmt.Sprintf("registry.example/team/app:v%03d", 10*i+n)
			e.tag(side, name, target)
			want = append(want, name+"="+short(target))
		}
	}
	e.reconcile()
	e.same(want...)
	for i := range 100 {
		e.remove([]string{second, first}[i%2], fmt.Sprintf("registry.example/team/app:v%03d", i))
	}
	e.reconcile()
	e.same(want[100:]...)
}

package build

import (
	"context"
	"errors"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// lasting is a guest that says how it settles.
type lasting struct {
	guest.Guest
	settle func(context.Context) error
}

func (g lasting) Capabilities() guest.Capabilities { return guest.Capabilities{Settle: g.settle} }

// A build has ended when its result is on the guest's disk, and has failed when it cannot be brought there.
func TestAResultIsBroughtToTheDisk(t *testing.T) {
	if err := (Session{Guest: lasting{}}).settle(t.Context()); err != nil {
		t.Errorf("a guest that needs no settling: %v", err)
	}
	asked := 0
	s := Session{Guest: lasting{settle: func(context.Context) error { asked++; return nil }}}
	if err := s.settle(t.Context()); err != nil || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	s.Guest = lasting{settle: func(context.Context) error { return errors.New("the connection is lost") }}
	if err := s.settle(t.Context()); err == nil || err.Error() != "writing the result to the guest's disk: the connection is lost" {
		t.Errorf("a guest that is gone: %v", err)
	}
}

package sharedimages

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// record is what counts of a side's image record.
type record struct {
	Target  digest.Digest
	Created time.Time // survives updates
	Updated time.Time // not later than another's for sure: BuildKit sets both to SOURCE_DATE_EPOCH
}

// stamp tells a record from another one of the same name, and from itself before a change.
type stamp struct {
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

func (r record) stamp() stamp { return stamp{r.Created, r.Updated} }

func (s stamp) equal(t stamp) bool { return s.Created.Equal(t.Created) && s.Updated.Equal(t.Updated) }

// agreement is what is remembered of a name: the records that had the same target. It holds for these records alone, so that one
// from long ago says nothing of a record that was made since.
type agreement struct {
	Target  digest.Digest `json:"target"`
	Records [2]stamp      `json:"records"`
}

// situation is all that a decision on a name goes by.
type situation struct {
	Records [2]*record // nil: that side has none
	Last    *agreement // nil: none is remembered
	InUse   [2]bool    // containers of that side use its record; counts where only one side has one
}

type kind int

const (
	nothing  kind = iota
	forget        // the memory is of no use
	complete      // both have the image: each gets the blobs (of further platforms) that only the other has
	overlay       // the side's record is made the other's
	putBack       // the same, where the other side removed a record that this side's containers use
	remove        // the side's record goes, as the other's did
)

func (k kind) String() string {
	return [...]string{"nothing", "forget", "complete", "overlay", "putBack", "remove"}[k]
}

// action is what is done about a name. Side is the one whose record is taken, or removed.
type action struct {
	Kind kind
	Side int
}

// decide compares both sides of one name with what they had when they were last the same.
func decide(s situation) action {
	first, second := s.Records[0], s.Records[1]
	switch {
	case first == nil && second == nil:
		if s.Last != nil {
			return action{Kind: forget}
		}
		return action{}
	case second == nil:
		return decideOneSided(s, 0)
	case first == nil:
		return decideOneSided(s, 1)
	case first.Target != second.Target:
		return action{overlay, winner(s)}
	case s.Last != nil && s.Last.Target == first.Target &&
		s.Last.Records[0].equal(first.stamp()) && s.Last.Records[1].equal(second.stamp()):
		return action{}
	default:
		return action{Kind: complete}
	}
}

func decideOneSided(s situation, side int) action {
	switch {
	case !s.remembered(side):
		return action{overlay, side}
	case s.InUse[side]:
		return action{putBack, side}
	default:
		return action{remove, side}
	}
}

// remembered reports whether a side's record is the one that both sides had, and nothing was done to it since: one that was pulled or
// built again stays when the other side removes it.
func (s situation) remembered(side int) bool {
	r := s.Records[side]
	return r != nil && s.Last != nil && r.Target == s.Last.Target && r.stamp().equal(s.Last.Records[side])
}

// needsUse reports whether the decision hangs on whether the only record is in use.
func (s situation) needsUse() (side int, needs bool) {
	for side, r := range s.Records {
		if r != nil && s.Records[1-side] == nil {
			return side, s.remembered(side)
		}
	}
	return 0, false
}

// winner is the side whose target is taken, where they differ: the one that moved, or the one that moved later.
func winner(s situation) int {
	first, second := s.Records[0], s.Records[1]
	if s.Last != nil && (first.Target == s.Last.Target) != (second.Target == s.Last.Target) {
		if first.Target == s.Last.Target {
			return 1
		}
		return 0
	}
	if second.Updated.After(first.Updated) {
		return 1
	}
	return 0
}

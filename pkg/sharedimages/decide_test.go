package sharedimages

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// at is a time that is told from others by a number.
func at(n int) time.Time { return time.Unix(int64(n), 0) }

func made(target string, created, updated int) *record {
	return &record{digest.FromString(target), at(created), at(updated)}
}

func agreed(target string, first, second [2]int) *agreement {
	return &agreement{digest.FromString(target), [2]stamp{{at(first[0]), at(first[1])}, {at(second[0]), at(second[1])}}}
}

func TestDecide(t *testing.T) {
	then := agreed("a", [2]int{1, 1}, [2]int{2, 2})
	for _, c := range []struct {
		name string
		s    situation
		want action
	}{
		{"neither side has it", situation{}, action{}},
		{"both sides removed it", situation{Last: then}, action{Kind: forget}},
		{"the first side made it", situation{Records: [2]*record{made("a", 1, 1), nil}}, action{overlay, 0}},
		{"the second side made it", situation{Records: [2]*record{nil, made("a", 1, 1)}}, action{overlay, 1}},
		{"what is new and in use is shared at once", situation{Records: [2]*record{nil, made("a", 1, 1)}, InUse: [2]bool{false, true}}, action{overlay, 1}},
		{"the second side removed it", situation{Records: [2]*record{made("a", 1, 1), nil}, Last: then}, action{remove, 0}},
		{"the first side removed it", situation{Records: [2]*record{nil, made("a", 2, 2)}, Last: then}, action{remove, 1}},
		{"pulled again here while it was removed there", situation{Records: [2]*record{made("a", 1, 9), nil}, Last: then}, action{overlay, 0}},
		{"removed there and in use here", situation{Records: [2]*record{made("a", 1, 1), nil}, Last: then, InUse: [2]bool{true, false}}, action{putBack, 0}},
		{"use by the side that removed it counts for nothing", situation{Records: [2]*record{made("a", 1, 1), nil}, Last: then, InUse: [2]bool{false, true}}, action{remove, 0}},
		{"removed on both sides and made again on one", situation{Records: [2]*record{made("a", 3, 3), nil}, Last: then}, action{overlay, 0}},
		{"moved here while it was removed there", situation{Records: [2]*record{made("b", 1, 3), nil}, Last: then}, action{overlay, 0}},
		{"the same as then", situation{Records: [2]*record{made("a", 1, 1), made("a", 2, 2)}, Last: then}, action{}},
		{"the same, never seen before", situation{Records: [2]*record{made("a", 1, 1), made("a", 2, 2)}}, action{Kind: complete}},
		{"pulled again on one side", situation{Records: [2]*record{made("a", 1, 3), made("a", 2, 2)}, Last: then}, action{Kind: complete}},
		{"both moved to the same", situation{Records: [2]*record{made("b", 1, 3), made("b", 4, 4)}, Last: then}, action{Kind: complete}},
		{"the first side moved", situation{Records: [2]*record{made("b", 1, 3), made("a", 2, 2)}, Last: then}, action{overlay, 0}},
		{"the second side moved", situation{Records: [2]*record{made("a", 1, 1), made("b", 2, 3)}, Last: then}, action{overlay, 1}},
		{"the second side moved, to a time long ago", situation{Records: [2]*record{made("a", 1, 1), made("b", 0, 0)}, Last: then}, action{overlay, 1}},
		{"both moved, the first one later", situation{Records: [2]*record{made("b", 1, 4), made("c", 2, 3)}, Last: then}, action{overlay, 0}},
		{"both moved, the second one later", situation{Records: [2]*record{made("b", 1, 3), made("c", 2, 4)}, Last: then}, action{overlay, 1}},
		{"both moved at once", situation{Records: [2]*record{made("b", 1, 3), made("c", 2, 3)}, Last: then}, action{overlay, 0}},
		{"different, never seen before", situation{Records: [2]*record{made("b", 1, 3), made("c", 2, 4)}}, action{overlay, 1}},
	} {
		if got := decide(c.s); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// world is one name on both sides, as clients and the keeper change it.
type world struct {
	rng     *rand.Rand
	clock   int
	records [2]*record
	used    [2]bool
	last    *agreement
	// saved are earlier memories, one of which a restart may find.
	saved []*agreement
	// removable says of a side's record that a client removed the other side's since both were the same.
	removable [2]bool
}

func (w *world) now() time.Time {
	if w.rng.IntN(4) > 0 { // clocks stand still, too
		w.clock++
	}
	return at(w.clock)
}

// client does what a client of a side may do at any moment.
func (w *world) client() string {
	side := w.rng.IntN(2)
	target := digest.FromString(string(rune('a' + w.rng.IntN(3))))
	switch r := w.records[side]; w.rng.IntN(4) {
	case 0:
		w.clock++ // a record that is made later has another time
		now := at(w.clock)
		w.records[side], w.removable[side] = &record{target, now, now}, false
		return fmt.Sprintf("side %d makes it", side)
	case 1:
		if r != nil {
			w.clock++
			w.records[side], w.removable[side] = &record{target, r.Created, at(w.clock)}, false
		}
		return fmt.Sprintf("side %d moves it", side)
	case 2:
		if r != nil {
			w.records[side], w.used[side] = nil, false
			w.removable[1-side] = true
		}
		return fmt.Sprintf("side %d removes it", side)
	default:
		w.used[side] = r != nil && w.rng.IntN(2) == 0
		return fmt.Sprintf("side %d uses it: %v", side, w.used[side])
	}
}

// keeper does what the decision asks for, and fails the test when that loses something.
func (w *world) keeper(t *testing.T) kind {
	a := decide(situation{w.records, w.last, w.used})
	other := 1 - a.Side
	switch a.Kind {
	case forget:
		w.last = nil
	case complete:
		w.agree()
	case overlay, putBack:
		source := w.records[a.Side]
		if old := w.records[other]; old != nil {
			w.records[other] = &record{source.Target, old.Created, w.now()}
		} else {
			w.clock++
			w.records[other] = &record{source.Target, at(w.clock), at(w.clock)}
		}
		w.agree()
	case remove:
		if w.used[a.Side] {
			t.Fatalf("a record in use is removed on side %d", a.Side)
		}
		if !w.removable[a.Side] {
			t.Fatalf("side %d loses a record, and no client of side %d removed it", a.Side, other)
		}
		w.records[a.Side], w.last = nil, nil
	}
	w.saved = append(w.saved, w.last)
	return a.Kind
}

func (w *world) agree() {
	w.last = &agreement{w.records[0].Target, [2]stamp{w.records[0].stamp(), w.records[1].stamp()}}
	w.removable = [2]bool{}
}

// checkHistory runs a random history and holds it to what must be true of each.
func checkHistory(t *testing.T, seed uint64, steps int) {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), saved: []*agreement{nil}}
	var history []string
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %q", seed, history)
		}
	}()
	for range steps {
		switch w.rng.IntN(6) {
		case 0:
			w.last = w.saved[w.rng.IntN(len(w.saved))] // a restart, with what was written last or earlier
			history = append(history, "restart")
		case 1, 2:
			history = append(history, "keeper: "+w.keeper(t).String())
		default:
			history = append(history, w.client())
		}
	}
	for range 3 {
		history = append(history, "keeper: "+w.keeper(t).String())
	}
	if k := w.keeper(t); k != nothing {
		t.Fatalf("it does not come to rest: %v", k)
	}
	first, second := w.records[0], w.records[1]
	if (first == nil) != (second == nil) || first != nil && first.Target != second.Target {
		t.Fatalf("the sides end with %v and %v", first, second)
	}
}

func TestHistoriesConvergeAndLoseNothing(t *testing.T) {
	for seed := range uint64(2000) {
		checkHistory(t, seed, 30)
		if t.Failed() {
			return
		}
	}
}

func FuzzHistoriesConvergeAndLoseNothing(f *testing.F) {
	f.Add(uint64(1), uint8(10))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint8) { checkHistory(t, seed, int(steps)) })
}

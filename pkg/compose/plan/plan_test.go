package plan_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/compose/plan"
)

func TestPlans(t *testing.T) {
	cases := loadCases(t)
	if len(cases) < 40 {
		t.Errorf("there are %d cases only", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := plan.Make(c.wanted, newFake(t, c).observe())
			text := p.String()
			if strings.Contains(text, "hunter2") {
				t.Errorf("a value is in the plan:\n%s", text)
			}
			c.golden(t, text)
		})
	}
}

func TestTheSameArgumentsMakeTheSamePlan(t *testing.T) {
	for _, c := range loadCases(t) {
		f := newFake(t, c)
		state, before := f.observe(), f.text(t)
		first := plan.Make(c.wanted, state).String()
		for range 5 {
			if again := plan.Make(c.wanted, state).String(); again != first {
				t.Fatalf("%s: once\n%s\nand once\n%s", c.name, first, again)
			}
		}
		if f.state = state; f.text(t) != before {
			t.Errorf("%s: planning changes what was observed", c.name)
		}
	}
}

// settled is what is wanted after a command, where nothing is to be done for its own sake.
func settled(w plan.Wanted) plan.Wanted {
	w.ImagesReady = true
	w.AlwaysRecreateDeps, w.RenewVolumes = false, false
	if w.Recreate == plan.Always {
		w.Recreate = plan.Changed
	}
	if w.Command == plan.RestartCommand {
		w.Command = plan.StartCommand
	}
	return w
}

func TestAfterAPlanNothingIsLeftToDo(t *testing.T) {
	for _, c := range loadCases(t) {
		t.Run(c.name, func(t *testing.T) {
			if refused := plan.Make(c.wanted, newFake(t, c).observe()).Refused; refused != nil {
				return
			}
			end := ""
			for seed := range uint64(5) {
				f := newFake(t, c)
				err := f.run(c.wanted, rand.New(rand.NewPCG(seed, 2)), -1)
				if c.before.Fails != "" {
					if err == nil || !strings.Contains(err.Error(), c.before.Fails) {
						t.Errorf("the error is %v", err)
					}
					return
				}
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				f.settle()
				again := plan.Make(settled(c.wanted), f.observe())
				rest := slices.DeleteFunc(slices.Clone(again.Steps), func(s plan.Step) bool {
					return f.completes[s.Service] || s.Optional // what completes runs again, and what may fail is tried again
				})
				if len(rest) > 0 || again.Refused != nil {
					t.Errorf("seed %d: still to do:\n%s", seed, again)
				}
				text := f.text(t)
				if end == "" {
					end = text
				}
				if text != end {
					t.Errorf("seed %d ends in\n%s\nand another one in\n%s", seed, text, end)
				}
			}
		})
	}
}

func TestARunThatIsKilledIsMadeGoodByTheNext(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	for _, c := range loadCases(t) {
		t.Run(c.name, func(t *testing.T) {
			whole := newFake(t, c)
			if c.before.Fails != "" || plan.Make(c.wanted, whole.observe()).Refused != nil {
				return
			}
			if err := whole.run(c.wanted, rand.New(rand.NewPCG(1, 3)), -1); err != nil {
				t.Fatal(err)
			}
			whole.settle()
			want := whole.text(t)
			for seed := range uint64(2) {
				for after := range whole.did + 1 {
					f := newFake(t, c)
					f.did = 0
					err := f.run(c.wanted, rand.New(rand.NewPCG(seed, 4)), after)
					if err != nil && !errors.Is(err, errKilled) {
						t.Fatal(err)
					}
					killed := fmt.Sprintf("seed %d, killed after %d steps", seed, after)
					f.settle()
					if err := f.run(c.wanted, rand.New(rand.NewPCG(seed, 5)), -1); err != nil {
						t.Fatalf("%s: %v", killed, err)
					}
					f.settle()
					if got := f.text(t); got != want {
						t.Fatalf("%s, it ends in\n%s\nand undisturbed in\n%s", killed, got, want)
					}
				}
			}
		})
	}
}

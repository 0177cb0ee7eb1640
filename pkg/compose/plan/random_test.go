package plan_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/linnet-dev/linnet/pkg/compose/plan"
)

// randomProject is a project of a few services that use each other; what differs of two of them is random, too.
func randomProject(r *rand.Rand) string {
	var b strings.Builder
	some := func(chance int, text string, args ...any) {
		if r.IntN(chance) == 0 {
			fmt.Fprintf(&b, text, args...)
		}
	}
	b.WriteString("services:\n")
	n := 2 + r.IntN(4)
	for i := range n {
		fmt.Fprintf(&b, "  s%d:\n    image: i%d\n", i, i)
		some(4, "    command: c%d\n", r.IntN(3))
		some(4, "    scale: %d\n", 1+r.IntN(3))
		some(3, "    healthcheck: {test: [CMD, ok]}\n")
		some(6, "    post_start: [{command: x}]\n")
		some(3, "    volumes: ['v%d:/v', /anonymous]\n", r.IntN(2))
		if i == 0 {
			continue
		}
		other := r.IntN(i)
		switch r.IntN(7) {
		case 0:
			fmt.Fprintf(&b, "    network_mode: service:s%d\n", other)
		case 1:
			fmt.Fprintf(&b, "    volumes_from: [s%d]\n", other)
		case 2:
			fmt.Fprintf(&b, "    links: ['s%d:l']\n", other)
		case 3, 4:
			fmt.Fprintf(&b, "    depends_on: {s%d: {condition: service_started, restart: %t}}\n", other, r.IntN(2) == 0)
		}
	}
	fmt.Fprintf(&b, "networks: {default: {driver_opts: {mtu: '%d'}, name: p_n%d}}\nvolumes: {v0: , v1: {name: p_w%d}}\n", r.IntN(2), r.IntN(2), r.IntN(2))
	return b.String()
}

// What holds of the golden plans holds of others: whatever became of the project before, and wherever a run is killed.
func TestRandomProjects(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 6))
		line := []string{"up", "up", "up --force-recreate", "up --remove-orphans", "up --renew-anon-volumes", "up s1", "up --always-recreate-deps s1", "down --volumes", "create", "stop"}[r.IntN(10)]
		c := testCase{wanted: parseCommand(t, line), archive: &txtar.Archive{Files: []txtar.File{{Name: "old.yaml", Data: []byte(randomProject(r))}}}}
		text := randomProject(r)
		c.wanted.Project = loadProject(t, text, nil)
		c.before.From = "old.yaml"
		about := fmt.Sprintf("seed %d, %s, from\n%s\nto\n%s", seed, line, c.file("old.yaml"), text)
		whole := newFake(t, c)
		if refused := plan.Make(c.wanted, whole.observe()).Refused; refused != nil {
			t.Fatalf("%s\nis refused: %v", about, refused)
		}
		if err := whole.run(c.wanted, rand.New(rand.NewPCG(seed, 7)), -1); err != nil {
			t.Fatalf("%s\n%v", about, err)
		}
		whole.settle()
		if again := plan.Make(settled(c.wanted), whole.observe()); !again.Empty() {
			t.Errorf("%s\nleaves\n%s", about, again)
		}
		want := whole.text(t)
		for after := range whole.did {
			f := newFake(t, c)
			if err := f.run(c.wanted, rand.New(rand.NewPCG(seed, 8)), after); err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("%s\n%v", about, err)
			}
			f.settle()
			if err := f.run(c.wanted, rand.New(rand.NewPCG(seed, 9)), -1); err != nil {
				t.Fatalf("%s\nkilled after %d steps: %v", about, after, err)
			}
			f.settle()
			if got := f.text(t); got != want {
				t.Fatalf("%s\nkilled after %d steps, it ends otherwise:\n%s", about, after, firstDifference(got, want))
			}
		}
	}
}

// firstDifference shows two texts around where they begin to differ.
func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	i := slices.IndexFunc(as[:min(len(as), len(bs))], func(string) bool { return true })
	for i < min(len(as), len(bs)) && as[i] == bs[i] {
		i++
	}
	from := max(0, i-8)
	return strings.Join(as[from:min(len(as), i+8)], "\n") + "\n--- undisturbed:\n" + strings.Join(bs[from:min(len(bs), i+8)], "\n")
}

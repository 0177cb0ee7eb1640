//go:build e2e

package nerdctl_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/nerdctl/internal/oracle"
)

// lines is how many command lines a run compares.
const lines = 5500

// TestDifferentialParse holds Parse to nerdctl's own command tree, which runs in another
// process: for each command line both give the same command, flags, values and positionals,
// or both an error; and what Argv writes is read by both as what was read before.
//
// LINNET_SEED chooses the lines, LINNET_COVERAGE names a file for the table of all flags.
func TestDifferentialParse(t *testing.T) {
	o, err := oracle.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g := newGenerator(seed(t))
	argvs := g.all(lines)

	accepted := compare(t, o, argvs)
	var canonical [][]string
	for i, inv := range accepted {
		if inv == nil {
			continue
		}
		again := inv.Argv()
		canonical = append(canonical, again)
		back, err := nerdctl.Parse(again)
		if err != nil {
			t.Errorf("%q was read, but its canonical form %q is refused: %v", argvs[i], again, err)
		} else if d := difference(inv, back); d != "" {
			t.Errorf("%q and its canonical form %q differ: %s", argvs[i], again, d)
		}
	}
	for i, inv := range compare(t, o, canonical) {
		if inv == nil {
			t.Errorf("nerdctl refuses %q", canonical[i])
		}
	}
	table := g.coverage(accepted)
	t.Logf("%d command lines, %d of them accepted and read again in canonical form\n%s", len(argvs), len(canonical), table.summary())
	if file := os.Getenv("LINNET_COVERAGE"); file != "" {
		if err := os.WriteFile(file, []byte(table.full()), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, missing := range table.unused() {
		t.Errorf("no accepted command line used %s", missing)
	}
}

// seed is a number of the tables: the same commit compares the same lines. LINNET_SEED is another number, or "random".
func seed(t *testing.T) uint64 {
	t.Helper()
	var n uint64
	switch s := os.Getenv("LINNET_SEED"); s {
	case "":
		tables, err := os.ReadFile("tables_gen.go")
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(tables)
		n = binary.BigEndian.Uint64(sum[:])
	case "random":
		n = rand.Uint64()
	default:
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("LINNET_SEED: %v", err)
		}
	}
	t.Logf("replay with LINNET_SEED=%d", n)
	return n
}

// compare has every line read by both and returns what Parse made of those that both accept.
func compare(t *testing.T, o *oracle.Oracle, argvs [][]string) []*nerdctl.Invocation {
	t.Helper()
	answers, err := ask(t.Context(), o, argvs)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make([]*nerdctl.Invocation, len(argvs))
	for i, argv := range argvs {
		inv, err := nerdctl.Parse(argv)
		switch want := answers[i]; {
		case err != nil && want.Error != "":
			if err.Error() == "" || strings.HasPrefix(want.Error, "panic") {
				t.Errorf("%q: %q, nerdctl: %s", argv, err, want.Error)
			}
		case err != nil:
			t.Errorf("%q: nerdctl accepts it as %+v, Parse says: %v", argv, want, err)
		case want.Error != "":
			t.Errorf("%q: nerdctl says %q, Parse accepts it as %q", argv, want.Error, inv.Argv())
		default:
			if have := asAnswer(inv); !reflect.DeepEqual(have, normal(want)) {
				t.Errorf("%q:\nnerdctl: %+v\nParse:   %+v", argv, want, have)
			}
			accepted[i] = inv
		}
	}
	return accepted
}

// ask spreads the lines over a few processes at a time: a command library keeps completion
// functions of every tree that it ever made.
func ask(ctx context.Context, o *oracle.Oracle, argvs [][]string) ([]oracle.Answer, error) {
	const batch = 500
	answers := make([]oracle.Answer, len(argvs))
	errs := make([]error, len(argvs)/batch+1)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for from := 0; from < len(argvs); from += batch {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			to := min(from+batch, len(argvs))
			got, err := o.Parse(ctx, argvs[from:to])
			copy(answers[from:to], got)
			errs[from/batch] = err
		})
	}
	wg.Wait()
	return answers, cmp.Or(errs...)
}

type coverage struct {
	targets    []target
	made, read map[string]int
	uses       map[*nerdctl.Flag]int
}

// summary has one line per command: lines made for it, lines accepted as it, flags used.
func (c *coverage) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %6s %9s %7s %6s\n", "COMMAND", "LINES", "ACCEPTED", "FLAGS", "USES")
	for _, t := range c.targets {
		used, uses := 0, 0
		for _, f := range t.flags {
			uses += c.uses[f]
			if c.uses[f] > 0 {
				used++
			}
		}
		fmt.Fprintf(&b, "%-28s %6d %9d %3d/%-3d %6d\n", t.name(), c.made[t.name()], c.read[t.name()], used, len(t.flags), uses)
	}
	return b.String()
}

func (c *coverage) full() string {
	var b strings.Builder
	b.WriteString(c.summary())
	for _, t := range c.targets {
		for _, f := range t.flags {
			fmt.Fprintf(&b, "%s\t--%s\t%d\n", t.name(), f.Name, c.uses[f])
		}
	}
	return b.String()
}

func (c *coverage) unused() []string {
	unused := map[string]bool{}
	for _, t := range c.targets {
		for _, f := range t.flags {
			if c.uses[f] == 0 {
				unused[t.name()+" --"+f.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(unused))
}

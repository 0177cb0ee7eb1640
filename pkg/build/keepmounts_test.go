package build

import (
	"fmt"
	"slices"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

func graph(t *testing.T, s llb.State) *pb.Definition {
	t.Helper()
	def, err := s.Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	return def.ToPB()
}

// A graph's steps with cache mounts are found again below one that cannot be built, which names
// the mounts last, and each the other way round.
func TestTheMountsOfUncachedStepsAreNamedAgain(t *testing.T) {
	begin := llb.Scratch().File(llb.Mkdir("/cache", 0o755))
	run := func(s llb.State, mount llb.State, id string, opts ...llb.RunOption) llb.State {
		opts = append(opts, llb.Args([]string{"step"}), llb.AddMount("/m", mount, llb.AsPersistentCacheDir(id, llb.CacheMountShared)))
		return s.Run(opts...).Root()
	}
	s := run(begin, llb.Scratch(), "empty", llb.IgnoreCache)
	s = run(s, begin, "full", llb.IgnoreCache)
	s = run(s, llb.Scratch(), "cached")
	def := graph(t, s)

	first, err := unbuildable(def)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(first.Def[:len(def.Def)-1], def.Def[:len(def.Def)-1], slices.Equal) {
		t.Error("what is to be built is not in it as it was")
	}
	added := first.Def[len(def.Def)-1:]
	ops := make([]pb.Op, len(added))
	for i, text := range added {
		if err := ops[i].UnmarshalVT(text); err != nil {
			t.Fatal(err)
		}
	}
	if len(ops) != 3 || ops[1].Op != nil || len(ops[1].Inputs) != 2 || ops[1].Inputs[1].Digest != digest.FromBytes(added[0]).String() {
		t.Fatalf("what is added: %v", ops)
	}
	var named []string
	for _, m := range ops[0].GetExec().Mounts[1:] {
		named = append(named, fmt.Sprintf("%s %d", m.CacheOpt.ID, m.Input))
	}
	if want := []string{"empty 0", "full -1"}; !slices.Equal(named, want) {
		t.Errorf("it names %q, want %q", named, want)
	}
	if !first.Metadata[digest.FromBytes(added[0]).String()].GetIgnoreCache() {
		t.Error("the step that names them may be cached")
	}
}

func TestWithoutUncachedMountsNothingIsSentTwice(t *testing.T) {
	plain := llb.Scratch().Run(llb.Args([]string{"step"}), llb.IgnoreCache).Root()
	cached := llb.Scratch().Run(llb.Args([]string{"step"}), llb.AddMount("/m", llb.Scratch(), llb.AsPersistentCacheDir("id", llb.CacheMountShared))).Root()
	for _, s := range []llb.State{plain, cached} {
		if first, err := unbuildable(graph(t, s)); first != nil || err != nil {
			t.Errorf("%v, %v", first, err)
		}
	}
}

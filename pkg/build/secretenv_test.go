package build

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// ops are a graph's operations. The graph has to be one: each comes after those it stands on, and what is
// said of an operation is said of one that is there.
func ops(t *testing.T, g *pb.Definition) (all []*pb.Op) {
	t.Helper()
	known := map[string]bool{}
	for _, text := range g.Def {
		op := &pb.Op{}
		if err := op.UnmarshalVT(text); err != nil {
			t.Fatal(err)
		}
		for _, in := range op.Inputs {
			if !known[in.Digest] {
				t.Errorf("%v stands on %s, which is not before it", op, in.Digest)
			}
		}
		known[digest.FromBytes(text).String()] = true
		all = append(all, op)
	}
	for d := range g.Metadata {
		if !known[d] {
			t.Errorf("something is said of %s, which is not there", d)
		}
	}
	for d := range g.Source.GetLocations() {
		if !known[d] {
			t.Errorf("%s has a line, and is not there", d)
		}
	}
	return all
}

func program(t *testing.T) *pb.Definition {
	t.Helper()
	return graph(t, llb.Local(envName, llb.WithCustomName("program")))
}

// A step that wants secrets as variables has them as files, and a program in front of its own; what comes
// before it is as it was, and what comes after it stands on the changed one.
func TestAStepTakesItsSecretsFromFiles(t *testing.T) {
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte("FROM scratch\nRUN\nRUN\n"))
	at := func(line int) llb.ConstraintsOpt {
		return source.Location([]*pb.Range{{Start: &pb.Position{Line: int32(line)}}})
	}
	secret := func(id, name string, opts ...llb.SecretOption) llb.RunOption {
		return llb.AddSecretWithDest(id, nil, append(opts, llb.SecretID(id), llb.SecretAsEnvName(name))...)
	}
	before := llb.Scratch().File(llb.Mkdir("/x", 0o755), llb.WithCustomName("before"))
	s := before.User("1000:5").Run(llb.Args([]string{"sh", "-c", "x"}), secret("one", "ONE"), secret("two", "A=B", llb.SecretOptional), llb.WithCustomName("step"), at(2)).Root()
	s = s.Run(llb.Args([]string{"after"}), llb.WithCustomName("after"), at(3)).Root()
	def := graph(t, s)
	brings := program(t)
	got, err := secretFiles(def, brings, "program")
	if err != nil {
		t.Fatal(err)
	}
	all := ops(t, got)
	names := func(g *pb.Definition) (names []string) {
		for _, text := range g.Def[:len(g.Def)-1] {
			names = append(names, g.Metadata[digest.FromBytes(text).String()].GetDescription()["llb.customname"])
		}
		return names
	}
	if want := []string{"program", "before", "step", "after"}; !slices.Equal(names(got), want) {
		t.Errorf("the operations are %q, want %q", names(got), want)
	}
	if string(got.Def[1]) != string(def.Def[0]) {
		t.Error("what comes before the step is not as it was")
	}
	step := all[2].GetExec()
	if want := []string{envPath, envFiles + "0=ONE", envFiles + "1=A=B", "--", "sh", "-c", "x"}; !slices.Equal(step.Meta.Args, want) || len(step.Secretenv) > 0 {
		t.Errorf("the step is %q with %v, want %q", step.Meta.Args, step.Secretenv, want)
	}
	mounts := step.Mounts[len(step.Mounts)-3:]
	if m := mounts[0]; all[2].Inputs[m.Input].Digest != digest.FromBytes(got.Def[0]).String() || m.Dest != envPath || m.Selector != "/program" || !m.Readonly {
		t.Errorf("the program is %v", m)
	}
	for i, want := range []*pb.SecretOpt{{ID: "one", Uid: 1000, Mode: 0o400}, {ID: "two", Uid: 1000, Mode: 0o400, Optional: true}} {
		if m := mounts[i+1]; m.MountType != pb.MountType_SECRET || m.SecretOpt.String() != want.String() || m.Dest != envFiles+string(rune('0'+i)) {
			t.Errorf("a secret is %v, want %v", m, want)
		}
	}
	for i, line := range map[int]int32{2: 2, 3: 3} {
		l := got.Source.Locations[digest.FromBytes(got.Def[i]).String()].GetLocations()
		if len(l) != 1 || l[0].Ranges[0].Start.Line != line {
			t.Errorf("the line of %q is %v, want %d", names(got)[i], l, line)
		}
	}
	again, err := secretFiles(def, brings, "program")
	if err != nil || !slices.EqualFunc(again.Def, got.Def, slices.Equal) {
		t.Errorf("another time it is another: %v", err)
	}
}

func TestWhichGraphsWantVariables(t *testing.T) {
	secret := func(o ...llb.SecretOption) *pb.Definition {
		return graph(t, llb.Scratch().Run(llb.Args([]string{"x"}), llb.AddSecret("/run/secrets/it", append(o, llb.SecretID("it"))...)).Root())
	}
	for want, def := range map[bool]*pb.Definition{false: secret(), true: secret(llb.SecretAsEnvName("X"))} {
		if got, err := wantsVariables(def); err != nil || got != want {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
}

func TestWhoMayReadASecret(t *testing.T) {
	for user, want := range map[string][2]uint32{
		"": {0, 0o400}, "root": {0, 0o400}, "0": {0, 0o400}, "root:staff": {0, 0o400}, "7:8": {7, 0o400}, "node": {0, 0o444}, "node:7": {0, 0o444}, "99999999999": {0, 0o444},
	} {
		if uid, mode := secretOwner(user); [2]uint32{uid, mode} != want {
			t.Errorf("%q: %d %o, want %d %o", user, uid, mode, want[0], want[1])
		}
	}
}

// Errors show a step as it was written.
func TestErrorsShowTheStepAsWritten(t *testing.T) {
	text := `process "` + strings.Join([]string{envPath, envFiles + "0=ONE", envFiles + "1=TWO", "--", "/bin/sh -c x -- y"}, " ") + `" did not complete successfully: exit code: 3`
	want := `process "/bin/sh -c x -- y" did not complete successfully: exit code: 3`
	s := &client.SolveStatus{Vertexes: []*client.Vertex{{Error: text}}}
	stripWrapper(s)
	if got := s.Vertexes[0].Error; got != want || Plain("failed to solve: "+text) != want {
		t.Errorf("%q and %q, want %q", got, Plain(text), want)
	}
}

package build

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"

	"github.com/linnet-dev/linnet/pkg/host"
)

// What a step sees whose secrets come as variables: linnet-env, and files in memory that it takes them
// from. They lie in /dev, which is made anew for each step and is in no layer.
const (
	envName  = "linnet-env" // the file's name, and the folder's among those of the session
	envPath  = "/dev/.linnet-env"
	envFiles = "/dev/.linnet-secret"
)

// handSecrets changes the steps that want a secret as a variable. BuildKit makes such a variable part of
// the step's container, and the engine keeps containers on disk: so the secret is mounted as a file,
// which is in memory alone, and linnet-env makes a variable of it within the container.
func (j *job) handSecrets(ctx context.Context, n *near, res *gateway.Result) (*gateway.Result, error) {
	if len(j.options.Secrets) == 0 {
		return res, nil // there is none that could lie anywhere
	}
	program, err := j.envProgram(ctx, n)
	if err != nil {
		return nil, err
	}
	changed := func(ref gateway.Reference) (gateway.Reference, error) {
		if ref == nil {
			return nil, nil
		}
		def, err := definition(ctx, ref)
		if err != nil {
			return nil, err
		}
		def, any, err := secretFiles(def, program)
		if err != nil || !any {
			return ref, err
		}
		if j.envMissing != nil {
			return nil, j.envMissing
		}
		made, err := n.Client.Solve(ctx, gateway.SolveRequest{Definition: def, CacheImports: j.cacheImports()})
		if err != nil {
			return nil, err
		}
		return made.SingleRef()
	}
	if res.Ref, err = changed(res.Ref); err != nil {
		return nil, err
	}
	for platform, ref := range res.Refs {
		if res.Refs[platform], err = changed(ref); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// envProgram is the graph that brings linnet-env: one file out of a folder of the session's.
func (j *job) envProgram(ctx context.Context, n *near) (*pb.Definition, error) {
	def, err := llb.Local(
		envName, llb.SessionID(n.BuildOpts().SessionID), llb.SharedKeyHint(envName), llb.IncludePatterns([]string{envName}),
		llb.WithCustomName("[internal] load "+envName),
	).Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("writing what is to be built: %w", err)
	}
	return def.ToPB(), nil
}

// offerEnv has linnet-env ready for a build with secrets. That it is missing is said when a step needs it.
func (j *job) offerEnv(path string) {
	if len(j.options.Secrets) == 0 {
		return
	}
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		err = j.mount(envName, filepath.Dir(path))
	}
	if err != nil {
		j.envMissing = &host.HintError{
			Err: fmt.Errorf("a step wants a secret as a variable, which takes %s: %w", envName, reason(err)),
			Fix: "install linnet again, or mount the secret as a file: --mount=type=secret,id=ID",
		}
	}
}

// secretFiles has the steps of a graph take secrets from files, and says whether there was any.
func secretFiles(def *pb.Definition, program *pb.Definition) (*pb.Definition, bool, error) {
	source, any := digest.FromBytes(program.Def[0]), false
	g := &pb.Definition{
		Def:      [][]byte{program.Def[0]},
		Metadata: map[string]*pb.OpMetadata{source.String(): program.Metadata[source.String()]},
	}
	if def.Source != nil {
		g.Source = &pb.Source{Infos: def.Source.Infos, Locations: map[string]*pb.Locations{}}
	}
	renamed := map[string]string{} // an operation's name is its digest, and a changed one has another
	for _, text := range def.Def {
		was := digest.FromBytes(text).String()
		var op pb.Op
		if err := op.UnmarshalVT(text); err != nil {
			return nil, false, fmt.Errorf("reading what is to be built: %w", err)
		}
		dirty := false
		for _, in := range op.Inputs {
			if now, ok := renamed[in.Digest]; ok {
				in.Digest, dirty = now, true
			}
		}
		if step := op.GetExec(); step != nil && len(step.Secretenv) > 0 {
			if err := secretFile(&op, source); err != nil {
				return nil, false, err
			}
			dirty, any = true, true
		}
		now := was
		if dirty {
			var err error
			if text, err = (proto.MarshalOptions{Deterministic: true}).Marshal(&op); err != nil {
				return nil, false, fmt.Errorf("writing what is to be built: %w", err)
			}
			now = digest.FromBytes(text).String()
			renamed[was] = now
		}
		g.Def = append(g.Def, text)
		if m := def.Metadata[was]; m != nil {
			g.Metadata[now] = m
		}
		if l := def.Source.GetLocations()[was]; l != nil {
			g.Source.Locations[now] = l
		}
	}
	return g, any, nil
}

// secretFile changes one step.
func secretFile(op *pb.Op, program digest.Digest) error {
	step := op.GetExec()
	op.Inputs = append(op.Inputs, &pb.Input{Digest: program.String()})
	step.Mounts = append(step.Mounts, &pb.Mount{
		Input: int64(len(op.Inputs) - 1), Selector: "/" + envName, Dest: envPath, Output: int64(pb.SkipOutput), Readonly: true,
	})
	args := []string{envPath}
	for i, s := range step.Secretenv {
		if s.ID == "" {
			return errors.New("a step wants a secret without a name")
		}
		file := envFiles + strconv.Itoa(i)
		owner, mode := reader(step.Meta.GetUser())
		step.Mounts = append(step.Mounts, &pb.Mount{
			Input: int64(pb.Empty), Dest: file, Output: int64(pb.SkipOutput), MountType: pb.MountType_SECRET,
			SecretOpt: &pb.SecretOpt{ID: s.ID, Optional: s.Optional, Uid: owner, Mode: mode},
		})
		args = append(args, file+"="+s.Name)
	}
	step.Secretenv = nil
	step.Meta.Args = append(append(args, "--"), step.Meta.Args...)
	return nil
}

// reader is who has to read the secrets of a step that runs as user, and with which mode. Whose number
// a name has, the image knows alone; then whoever the step runs may read them, as it may its
// environment.
func reader(user string) (uid, mode uint32) {
	user, _, _ = strings.Cut(user, ":")
	if user == "" || user == "root" {
		return 0, 0o400
	}
	if n, err := strconv.ParseUint(user, 10, 32); err == nil {
		return uint32(n), 0o400
	}
	return 0, 0o444
}

// handed are linnet-env's words before a step's own.
var handed = regexp.MustCompile(regexp.QuoteMeta(envPath) + ` (?:\S+=\S+ )+-- `)

// unhand has errors show a step as it was written.
func unhand(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		v.Error = handed.ReplaceAllString(v.Error, "")
	}
}

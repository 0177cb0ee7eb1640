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

	"github.com/linnet-dev/linnet/pkg/hint"
)

// What a step sees whose secrets come as variables: linnet-env, and files in memory that it takes them
// from. They lie in /dev, which is made anew for each step and is in no layer.
const (
	envName  = "linnet-env" // of the program, and of its directory among those of the session
	envPath  = "/dev/.linnet-env"
	envFiles = "/dev/.linnet-secret"
)

// handSecrets changes the steps that want a secret as a variable. BuildKit makes such a variable part of
// the step's container, and the engine keeps containers on disk: so the secret is mounted as a file,
// which is in memory alone, and linnet-env makes a variable of it within the container. It does not matter
// whether there is such a secret: a step is to be cached as the same in either case.
func (j *job) handSecrets(ctx context.Context, n *localGateway, res *gateway.Result) error {
	return eachRef(res, func(ref gateway.Reference) (gateway.Reference, error) {
		def, err := definition(ctx, ref)
		if err != nil {
			return nil, err
		}
		if wants, err := wantsVariables(def); err != nil || !wants {
			return ref, err
		}
		if j.env.err != nil {
			return nil, j.env.err
		}
		program, err := j.env.envSource(ctx, n.BuildOpts().SessionID)
		if err != nil {
			return nil, err
		}
		if def, err = secretFiles(def, program, j.env.file); err != nil {
			return nil, err
		}
		made, err := n.Client.Solve(ctx, gateway.SolveRequest{Definition: def, CacheImports: j.cacheImports()})
		if err != nil {
			return nil, err
		}
		return made.SingleRef()
	})
}

// envProgram is linnet-env, as a build has it.
type envProgram struct {
	file string // its name in the directory of the session's that is called envName
	err  error  // why it is not there
	def  *pb.Definition
}

// offerEnv has linnet-env ready. That it is missing is said when a step needs it.
func (j *job) offerEnv(path string) {
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		_, err = j.mount(envName, filepath.Dir(path))
	}
	if err != nil {
		j.env.err = hint.With(fmt.Errorf("a step wants a secret as a variable, which takes %s: %w", envName, hint.Cause(err)),
			"install linnet again, or mount the secret as a file: --mount=type=secret,id=ID")
	}
	j.env.file = filepath.Base(path)
}

// envSource is the graph that brings it: the same for all of a build's steps.
func (e *envProgram) envSource(ctx context.Context, session string) (*pb.Definition, error) {
	if e.def != nil {
		return e.def, nil
	}
	def, err := llb.Local(
		envName, llb.SessionID(session), llb.SharedKeyHint(envName), llb.IncludePatterns([]string{e.file}),
		llb.WithCustomName("[internal] load "+envName),
	).Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("writing what is to be built: %w", err)
	}
	e.def = def.ToPB()
	return e.def, nil
}

// wantsVariables reports whether a graph has a step with a secret as a variable.
func wantsVariables(def *pb.Definition) (bool, error) {
	for _, text := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(text); err != nil {
			return false, fmt.Errorf("reading what is to be built: %w", err)
		}
		if len(op.GetExec().GetSecretenv()) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// secretFiles has the steps of a graph take secrets from files, through a file of what program brings.
func secretFiles(def, program *pb.Definition, file string) (*pb.Definition, error) {
	source := digest.FromBytes(program.Def[0])
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
			return nil, fmt.Errorf("reading what is to be built: %w", err)
		}
		dirty := false
		for _, in := range op.Inputs {
			if now, ok := renamed[in.Digest]; ok {
				in.Digest, dirty = now, true
			}
		}
		if step := op.GetExec(); step != nil && len(step.Secretenv) > 0 {
			if err := secretFile(&op, source, file); err != nil {
				return nil, err
			}
			dirty = true
		}
		now := was
		if dirty {
			var err error
			if text, err = (proto.MarshalOptions{Deterministic: true}).Marshal(&op); err != nil {
				return nil, fmt.Errorf("writing what is to be built: %w", err)
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
	return g, nil
}

// secretFile changes one step.
func secretFile(op *pb.Op, program digest.Digest, file string) error {
	step := op.GetExec()
	op.Inputs = append(op.Inputs, &pb.Input{Digest: program.String()})
	step.Mounts = append(step.Mounts, &pb.Mount{
		Input: int64(len(op.Inputs) - 1), Selector: "/" + file, Dest: envPath, Output: int64(pb.SkipOutput), Readonly: true,
	})
	args := []string{envPath}
	for i, s := range step.Secretenv {
		if s.ID == "" {
			return errors.New("a step wants a secret without a name")
		}
		secret := envFiles + strconv.Itoa(i)
		owner, mode := secretOwner(step.Meta.GetUser())
		step.Mounts = append(step.Mounts, &pb.Mount{
			Input: int64(pb.Empty), Dest: secret, Output: int64(pb.SkipOutput), MountType: pb.MountType_SECRET,
			SecretOpt: &pb.SecretOpt{ID: s.ID, Optional: s.Optional, Uid: owner, Mode: mode},
		})
		args = append(args, secret+"="+s.Name)
	}
	step.Secretenv = nil
	step.Meta.Args = append(append(args, "--"), step.Meta.Args...)
	return nil
}

// secretOwner is who has to read the secrets of a step that runs as user, and with which mode. Whose number
// a name has, the image knows alone; then every process of the step may read them, as it may its
// environment.
func secretOwner(user string) (uid, mode uint32) {
	user, _, _ = strings.Cut(user, ":")
	if user == "" || user == "root" {
		return 0, 0o400
	}
	if n, err := strconv.ParseUint(user, 10, 32); err == nil {
		return uint32(n), 0o400
	}
	return 0, 0o444
}

// wrapperPrefix are linnet-env's words before a step's own.
var wrapperPrefix = regexp.MustCompile(regexp.QuoteMeta(envPath) + ` (?:\S+=\S+ )+-- `)

// stripWrapper has errors show a step as it was written.
func stripWrapper(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		v.Error = wrapperPrefix.ReplaceAllString(v.Error, "")
	}
}

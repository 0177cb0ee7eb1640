package build

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/session/upload/uploadprovider"
	"github.com/moby/buildkit/util/staticfs"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/linnet-dev/linnet/pkg/build/localdir"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// The names under which BuildKit asks for the main directories.
const (
	localContext    = "context"
	localDockerfile = "dockerfile"
)

// addContext finds the build context and the Dockerfile and says how BuildKit gets at them.
func (j *job) addContext(ctx context.Context, h options.Host, o options.Options) error {
	switch {
	case o.Context == "":
		return &hint.Error{Err: errors.New("the build context is missing"), Fix: "name a directory, such as . for this one"}
	case o.Context == "-":
		return j.contextFromStdin(ctx, h, o)
	case isRemote(h, o.Context):
		j.attrs[localContext] = o.Context
		return j.addDockerfile(ctx, h, o)
	}
	dir := h.Abs(o.Context)
	if err := localdir.Check(dir); err != nil {
		err = fmt.Errorf("reading the build context %s: %w", o.Context, err)
		if errors.Is(err, localdir.ErrFile) {
			return &hint.Error{Err: err, Fix: fmt.Sprintf("name its directory; a Dockerfile is named by -f %s", o.Context)}
		}
		return &hint.Error{Err: err, Fix: "check the spelling of the path"}
	}
	on, err := j.mount(localContext, dir)
	if err != nil {
		return err
	}
	j.dir = dir
	if _, err := on.Ignored(localdir.IgnoreSuffix, filepath.Join(o.Context, localdir.IgnoreSuffix)); err != nil {
		return err
	}
	f, err := localdir.FindDockerfile(ctx, h, o, &on)
	if err != nil {
		return err
	}
	return j.setDockerfile(f)
}

var errNoStdin = errors.New("standard input is given twice")

// isRemote reports whether a context is an address that the engine fetches itself.
func isRemote(h options.Host, value string) bool {
	if options.IsHTTP(value) {
		return true
	}
	_, ok, err := dfgitutil.ParseGitRef(value)
	if !ok || err != nil {
		return false
	}
	// Some could be both, such as github.com/some/one.
	_, err = os.Stat(h.Abs(value))
	return err != nil
}

// addDockerfile says which Dockerfile a context has that is not read here.
func (j *job) addDockerfile(ctx context.Context, h options.Host, o options.Options) error {
	if o.File == "" && o.Inline == "" {
		return nil
	}
	if o.Inline == "" && o.File != "-" && !isRemote(h, o.File) && !filepath.IsAbs(o.File) {
		j.attrs["filename"] = o.File // in that context
		return nil
	}
	f, err := localdir.FindDockerfile(ctx, h, o, nil)
	if err != nil {
		return err
	}
	j.attrs["dockerfilekey"] = localDockerfile
	return j.setDockerfile(f)
}

// contextFromStdin takes an archive as the context, or a Dockerfile that needs none.
func (j *job) contextFromStdin(ctx context.Context, h options.Host, o options.Options) error {
	if o.File == "-" {
		return &hint.Error{Err: errNoStdin, Fix: "give the context or the Dockerfile as -, not both"}
	}
	if h.Stdin == nil {
		return errors.New("reading the build context from standard input: there is none")
	}
	in := bufio.NewReader(h.Stdin)
	start, err := in.Peek(1024)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the build context from standard input: %w", err)
	}
	if len(start) == 0 {
		return &hint.Error{Err: errors.New("reading the build context from standard input: it is empty"), Fix: "write a Dockerfile or a tar archive to it"}
	}
	if isArchive(start) {
		up := uploadprovider.New()
		j.attrs[localContext] = up.Add(io.NopCloser(in))
		j.opt.Session = append(j.opt.Session, up)
		return j.addDockerfile(ctx, h, o)
	}
	if o.File != "" {
		return &hint.Error{Err: errors.New("standard input is no tar archive, and a Dockerfile is named by -f"), Fix: "leave -f out to take standard input as the Dockerfile"}
	}
	f, err := localdir.ReadDockerfile(in)
	if err != nil {
		return err
	}
	j.mounts[localContext] = staticfs.NewFS()
	return j.setDockerfile(f)
}

// isArchive reports whether a stream that begins so is a tar archive, plain or compressed.
func isArchive(start []byte) bool {
	for _, magic := range [][]byte{{0x42, 0x5A, 0x68}, {0x1F, 0x8B, 0x08}, {0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00}, {0x28, 0xB5, 0x2F, 0xFD}} {
		if bytes.HasPrefix(start, magic) {
			return true
		}
	}
	_, err := tar.NewReader(bytes.NewReader(start)).Next()
	return err == nil
}

func (j *job) mount(name, dir string) (localdir.Dir, error) {
	f, err := localdir.Open(dir, j.lose)
	if err != nil {
		return f, fmt.Errorf("reading %s: %w", dir, hint.Cause(err))
	}
	j.offer(name, f)
	return f, nil
}

// setDockerfile offers the Dockerfile's directory to BuildKit, which asks it for that file and the
// .dockerignore beside it, or the text alone.
func (j *job) setDockerfile(f localdir.Dockerfile) error {
	j.file = f
	j.attrs["filename"] = f.Name
	if f.In != nil {
		f.In.Lost = j.lose
		if _, err := f.In.Ignored(f.Name+localdir.IgnoreSuffix, f.Shown+localdir.IgnoreSuffix); err != nil {
			return err
		}
		j.offer(localDockerfile, *f.In)
		return nil
	}
	memory := staticfs.NewFS()
	memory.Add(f.Name, &fstypes.Stat{Mode: 0o644}, f.Text)
	if f.Ignore != nil {
		memory.Add(f.Name+localdir.IgnoreSuffix, &fstypes.Stat{Mode: 0o644}, f.Ignore)
	}
	j.mounts[localDockerfile] = memory
	return nil
}

// offer lets BuildKit ask for a directory, which is open until the build has ended.
func (j *job) offer(name string, f localdir.Dir) {
	j.mounts[name] = f
	j.open = append(j.open, f)
}

// addContexts offers the additional contexts.
func (j *job) addContexts(h options.Host, all []options.Context) error {
	for _, c := range all {
		key := "context:" + c.Name
		switch {
		case strings.HasPrefix(c.Value, "docker-image://"), strings.HasPrefix(c.Value, "target:"):
			j.attrs[key] = c.Value
		case strings.HasPrefix(c.Value, "oci-layout://"):
			value, err := j.addLayout(h, c)
			if err != nil {
				return options.FlagError("build-context", c.Name+"="+c.Value, err, "oci-layout://DIRECTORY, with :TAG or @DIGEST where it holds several")
			}
			j.attrs[key] = value
		case isRemote(h, c.Value):
			j.attrs[key] = c.Value
		default:
			dir := h.Abs(c.Value)
			if err := localdir.Check(dir); err != nil {
				return options.FlagError("build-context", c.Name+"="+c.Value, err, "NAME=PATH takes a directory; an image is docker-image://IMAGE")
			}
			// A name of ours must not hide the main context.
			local := "named-" + c.Name
			on, err := j.mount(local, dir)
			if err != nil {
				return err
			}
			if _, err := on.Ignored(localdir.IgnoreSuffix, filepath.Join(c.Value, localdir.IgnoreSuffix)); err != nil {
				return err
			}
			j.attrs[key] = "local:" + local
			j.attrs["sharedkey:localdir:"+c.Name] = sharedKey(dir)
		}
	}
	return nil
}

// sharedKey names the copy that BuildKit keeps of a directory, so that the next build sends what has
// changed since and no more. It goes by the path, not by the project: another checkout's files
// have other times, and with one copy for both each build would send all of them again.
func sharedKey(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:16])
}

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/util/staticfs"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// mostDockerfile bounds a Dockerfile, in bytes.
const mostDockerfile = 16 << 20

// ignoreSuffix is how a Dockerfile's own .dockerignore is called.
const ignoreSuffix = ".dockerignore"

// dockerfile is a build's Dockerfile as far as it is known on the host.
type dockerfile struct {
	// shown is how messages name it; at the engine it is called name.
	shown, name string
	// text is its content; nil where only the engine can read it.
	text []byte
	// in is the directory that is sent for it; with none it is sent from memory, and so is ignore,
	// the .dockerignore of its own.
	in     *folder
	ignore []byte
}

// findDockerfile reads the Dockerfile that the options name, or the one in the context, where that is
// a directory of the host.
func findDockerfile(ctx context.Context, h options.Host, o options.Options, in *folder) (dockerfile, error) {
	switch {
	case o.Inline != "":
		return dockerfile{shown: "inline", name: "Dockerfile", text: []byte(o.Inline)}, nil
	case o.File == "-":
		if h.Stdin == nil {
			return dockerfile{}, errors.New("reading the Dockerfile from standard input: there is none")
		}
		text, err := readAll(h.Stdin, stdin)
		return dockerfile{shown: stdin, name: "Dockerfile", text: text}, err
	case options.IsHTTP(o.File):
		text, err := fetch(ctx, o.File)
		return dockerfile{shown: o.File, name: "Dockerfile", text: text}, err
	case o.File != "":
		f, err := readDockerfile(o.File, h.Abs(o.File), in)
		if err != nil && in != nil && !isLocal(o.File, in) {
			if _, there := in.root.Stat(o.File); there == nil {
				err = &hint.Error{Err: errors.Unwrap(err), Fix: "-f is relative to the working directory: -f " + shownIn(o.Context, o.File)}
			}
		}
		return f, err
	}
	for _, name := range []string{"Dockerfile", "dockerfile", "Containerfile"} {
		f, err := readDockerfile(shownIn(o.Context, name), filepath.Join(in.dir, name), in)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return dockerfile{}, noDockerfile(shownIn(o.Context, "Dockerfile"))
}

// shownIn is a file in a directory that the user has named.
func shownIn(dir, name string) string {
	if dir == "." || dir == "./" {
		return name
	}
	return filepath.Join(dir, name)
}

// isLocal reports whether an absolute path is one of a file below a folder.
func isLocal(path string, in *folder) bool {
	rel, err := filepath.Rel(in.dir, path)
	return err == nil && filepath.IsAbs(path) && filepath.IsLocal(rel)
}

// readDockerfile reads a Dockerfile by its path. One in the context is read below the context's
// descriptor, and any other below that of its own directory.
func readDockerfile(shown, path string, in *folder) (dockerfile, error) {
	f, err := locateDockerfile(path, in, 0)
	var hinted *hint.Error
	if errors.As(err, &hinted) {
		return dockerfile{}, err
	}
	if err != nil {
		fix := "-f names the Dockerfile, from the working directory"
		var out *leadsOutError
		if errors.As(err, &out) {
			fix = "name the file that is meant: -f " + out.target
		}
		return dockerfile{}, &hint.Error{Err: fmt.Errorf("reading %s: %w", shown, hint.Cause(err)), Fix: fix}
	}
	f.shown, f.name = shown, filepath.Base(path)
	return f, nil
}

// leadsOutError is a Dockerfile that is a link which another user could have put there, to a file that
// this user may not be able to read.
type leadsOutError struct{ target string }

func (e *leadsOutError) Error() string {
	return "it is a link that leads out of its directory, and others may write there"
}

// mostLinks is how many links may lead from one to the next.
const mostLinks = 40

// locateDockerfile finds a Dockerfile. Links that stay in the directory that it is read below are followed, as
// BuildKit does it. One that leads out is followed where no other user can have put it there.
func locateDockerfile(path string, in *folder, links int) (dockerfile, error) {
	if links > mostLinks {
		return dockerfile{}, errors.New("too many links")
	}
	name := filepath.Base(path)
	if in != nil && isLocal(path, in) {
		name, _ = filepath.Rel(in.dir, path) // isLocal has shown that it is
	} else {
		own, err := openFolder(filepath.Dir(path), nil)
		if err != nil {
			return dockerfile{}, err
		}
		defer own.Close()
		in = &own
	}
	text, err := in.read(name, mostDockerfile)
	if err == nil {
		return in.dockerfile(name, text)
	}
	target, ours := leadsTo(in.root, name)
	switch {
	case target == "":
		return dockerfile{}, err
	case !filepath.IsAbs(target):
		target = filepath.Join(in.dir, target)
	}
	if !ours {
		return dockerfile{}, &leadsOutError{target}
	}
	f, err := locateDockerfile(target, nil, links+1)
	if err != nil {
		return f, err
	}
	// It means nothing in what is sent of that directory: its text is sent.
	if f.in != nil {
		f.in.Close()
		f.in = nil
	}
	f.ignore, err = in.ignored(name+ignoreSuffix, path+ignoreSuffix)
	return f, err
}

// dockerfile is the file of a folder that has this text. Its directory is sent, where it is really in it.
func (f folder) dockerfile(name string, text []byte) (dockerfile, error) {
	d := dockerfile{text: text}
	own, err := f.below(filepath.Dir(name))
	if err == nil {
		if _, err := own.file(filepath.Base(name)); err == nil {
			d.in = &own
			return d, nil
		}
		own.Close()
	}
	d.ignore, err = f.ignored(name+ignoreSuffix, filepath.Join(f.dir, name)+ignoreSuffix)
	return d, err
}

// leadsTo is where the first link on the way to a name leads: a path that is absolute, or relative to the root, or ""
// where there is no link. ours says that no other user can have put it there.
func leadsTo(root *os.Root, name string) (target string, ours bool) {
	ours = true
	for dir, rest := ".", name; ; {
		ours = ours && isPrivate(root, dir)
		first, more, deeper := strings.Cut(rest, string(filepath.Separator))
		path := filepath.Join(dir, first)
		if isLink(root, path) {
			to, err := root.Readlink(path)
			if err != nil {
				return "", false
			}
			if !filepath.IsAbs(to) {
				to = filepath.Join(dir, to)
			}
			return filepath.Join(to, more), ours
		}
		if !deeper {
			return "", false
		}
		dir, rest = path, more
	}
}

// setDockerfile offers the Dockerfile's directory to BuildKit, which asks it for that file and the
// .dockerignore beside it, or the text alone.
func (j *job) setDockerfile(f dockerfile) error {
	j.file = f
	j.attrs["filename"] = f.name
	if f.in != nil {
		f.in.lost = j.lose
		if _, err := f.in.ignored(f.name+ignoreSuffix, f.shown+ignoreSuffix); err != nil {
			return err
		}
		j.offer(localDockerfile, *f.in)
		return nil
	}
	memory := staticfs.NewFS()
	memory.Add(f.name, &fstypes.Stat{Mode: 0o644}, f.text)
	if f.ignore != nil {
		memory.Add(f.name+ignoreSuffix, &fstypes.Stat{Mode: 0o644}, f.ignore)
	}
	j.mounts[localDockerfile] = memory
	return nil
}

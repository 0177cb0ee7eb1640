package images

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/layers"
)

// FromPath reads an image from a file, an archive of `docker save` or of an image layout, from a layout's directory, or from stdin: "-".
// name says which image of several; "" is the only one.
func FromPath(ctx context.Context, file string, stdin io.Reader, name string, platform Platform) (*lens.Image, error) {
	s, end, err := open(ctx, file, stdin)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", shownPath(file), hint.Cause(err))
	}
	defer end()
	i, err := readNamed(ctx, s, file, name, platform)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", shownPath(file), err)
	}
	return i, nil
}

func shownPath(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// open finds out what a path is. An archive in a file is read where it is needed, all others in one pass.
func open(ctx context.Context, file string, stdin io.Reader) (s *files, end func(), err error) {
	if file == "-" {
		s, err := scan(ctx, stdin)
		return s, func() {}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(file)
		if err != nil {
			return nil, nil, err
		}
		return &files{open: func(name string) (io.ReadCloser, error) { return root.Open(filepath.FromSlash(name)) }}, func() { _ = root.Close() }, nil // it was read
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	end = func() { f.Close() }
	magic := make([]byte, 4)
	n, err := f.ReadAt(magic, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		end()
		return nil, nil, err
	}
	if info.Mode().IsRegular() && !isPacked(magic[:n]) {
		s, err = list(f)
	} else {
		s, err = scan(ctx, f)
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return s, end, nil
}

func isPacked(magic []byte) bool {
	return bytes.HasPrefix(magic, []byte{0x1f, 0x8b}) || bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd})
}

// files is a Source of named files: read when they are asked for, or before.
type files struct {
	open   func(name string) (io.ReadCloser, error)
	texts  map[string][]byte
	layers map[string]*lens.Layer
	links  map[string]string
}

// name is a part's file, links followed.
func (f *files) name(p Part) string {
	name := p.Name
	if name == "" {
		algorithm, hex, _ := strings.Cut(p.Digest, ":")
		name = "blobs/" + algorithm + "/" + hex
	}
	name = path.Clean(name)
	for range 10 {
		to, ok := f.links[name]
		if !ok {
			break
		}
		name = to
	}
	return name
}

// Text implements Source.
func (f *files) Text(_ context.Context, p Part) ([]byte, error) {
	name := f.name(p)
	if f.open == nil {
		text, ok := f.texts[name]
		if !ok {
			return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		return text, nil
	}
	r, err := f.open(name)
	if err != nil {
		return nil, hint.PathCause(err)
	}
	defer r.Close()
	return Bounded(r, name)
}

// Bounded reads a text that must not be large.
func Bounded(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return text, err
}

// Layer implements Source.
func (f *files) Layer(ctx context.Context, p Part) (*lens.Layer, error) {
	name := f.name(p)
	if f.open == nil {
		l, ok := f.layers[name]
		if !ok {
			return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		return l, nil
	}
	r, err := f.open(name)
	if err != nil {
		return nil, hint.PathCause(err)
	}
	defer r.Close()
	return layers.Read(untilDone{ctx, r})
}

// untilDone ends a reader with a context.
type untilDone struct {
	ctx  context.Context //nolint:containedctx // it is as long as one call
	from io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.from.Read(p)
}

// mostFiles is how many files an image's archive may have.
const mostFiles = 10_000

// list notes where in an archive its files are.
func list(f *os.File) (*files, error) {
	type span struct{ at, size int64 }
	spans, links := map[string]span{}, map[string]string{}
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean("/" + h.Name)[1:]
		if h.Typeflag != tar.TypeReg {
			link(links, name, h)
			continue
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if spans[name] = (span{at, h.Size}); len(spans) > mostFiles {
			return nil, fmt.Errorf("it has more than %d files", mostFiles)
		}
	}
	return &files{links: links, open: func(name string) (io.ReadCloser, error) {
		s, ok := spans[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return io.NopCloser(io.NewSectionReader(f, s.at, s.size)), nil
	}}, nil
}

// link notes a link: docker's old archives have such for layers that are there already.
func link(links map[string]string, name string, h *tar.Header) {
	switch {
	case len(links) >= mostFiles:
	case h.Typeflag == tar.TypeSymlink:
		links[name] = path.Clean("/" + path.Join(path.Dir(name), h.Linkname))[1:]
	case h.Typeflag == tar.TypeLink:
		links[name] = path.Clean("/" + h.Linkname)[1:]
	}
}

// mostTexts bounds all that is kept of an archive that is read in one pass, in bytes.
const mostTexts = 128 << 20

// scan reads an archive in one pass: texts are kept, of layers their index.
func scan(ctx context.Context, from io.Reader) (*files, error) {
	plain, end, err := unpack(bufio.NewReaderSize(untilDone{ctx, from}, 1<<20))
	if err != nil {
		return nil, err
	}
	defer end()
	s := &files{texts: map[string][]byte{}, layers: map[string]*lens.Layer{}, links: map[string]string{}}
	r := tar.NewReader(plain)
	var kept int64
	for n := 0; ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean("/" + h.Name)[1:]
		switch b := bufio.NewReader(r); {
		case n > mostFiles:
			return nil, fmt.Errorf("it has more than %d files", mostFiles)
		case h.Typeflag != tar.TypeReg:
			link(s.links, name, h)
		case isText(b):
			if s.texts[name], err = Bounded(b, name); err != nil {
				return nil, err
			}
			if kept += h.Size; kept > mostTexts {
				return nil, fmt.Errorf("its texts have more than %d bytes", mostTexts)
			}
		case h.Size > 0:
			if s.layers[name], err = layers.Read(b); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
}

// isText reports whether a file is JSON; a layer is not, whether it is packed or begins with a name.
func isText(b *bufio.Reader) bool {
	head, _ := b.Peek(512)
	trimmed := bytes.TrimLeft(head, " \t\r\n")
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') && bytes.IndexByte(head, 0) < 0 || len(head) < 512 && len(head) > 0 && !isPacked(head[:min(4, len(head))])
}

func unpack(b *bufio.Reader) (io.Reader, func(), error) {
	magic, _ := b.Peek(4)
	switch {
	case !isPacked(magic):
		return b, func() {}, nil
	case magic[0] == 0x1f:
		z, err := gzip.NewReader(b)
		return z, func() {}, err
	}
	z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderConcurrency(2))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}

// readNamed reads an image by the table of contents that there is: an image layout's, or else docker's.
func readNamed(ctx context.Context, s *files, file, name string, platform Platform) (*lens.Image, error) {
	var index manifest
	err := decode(ctx, s, Part{Name: "index.json", MediaType: "index"}, &index)
	if errors.Is(err, fs.ErrNotExist) {
		return readDocker(ctx, s, file, name)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range index.Manifests {
		called := d.Annotations["io.containerd.image.name"]
		if called == "" {
			called = d.Annotations["org.opencontainers.image.ref.name"]
		}
		if name != "" && isCalled(called, name) || name == "" && len(index.Manifests) == 1 {
			return Read(ctx, s, either(name, called, file), part(d), platform)
		}
		names = append(names, either(called, d.Digest.String()))
	}
	if name == "" && anyPlatform(index) {
		return Read(ctx, s, file, Part{Name: "index.json", MediaType: "index"}, platform)
	}
	return nil, which(name, names)
}

// anyPlatform reports whether a layout's own index is an image's for several platforms.
func anyPlatform(index manifest) bool {
	for _, d := range index.Manifests {
		if d.Platform == nil {
			return false
		}
	}
	return len(index.Manifests) > 0
}

func which(name string, names []string) error {
	switch {
	case len(names) == 0:
		return errors.New("there is no image in it")
	case name == "":
		return hint.New(fmt.Sprintf("%d images are in it", len(names)), "name one: "+strings.Join(names, ", "))
	}
	return hint.New("there is no image "+name+" in it", "it has "+strings.Join(names, ", "))
}

// isCalled reports whether an image's name is what a user typed: in whole, or without what is understood.
func isCalled(called, typed string) bool {
	for _, prefix := range []string{"", "docker.io/", "docker.io/library/"} {
		for _, suffix := range []string{"", ":latest"} {
			if called == prefix+typed+suffix {
				return true
			}
		}
	}
	return false
}

func either(names ...string) string {
	for _, n := range names {
		if n != "" && n != "-" {
			return n
		}
	}
	return "-"
}

// readDocker reads an image of an archive of docker's, which has manifest.json.
func readDocker(ctx context.Context, s *files, file, name string) (*lens.Image, error) {
	var images []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	err := decode(ctx, s, Part{Name: "manifest.json", MediaType: "manifest"}, &images)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hint.New("it is no image: it has neither index.json nor manifest.json", "linnet save -o FILE IMAGE writes one")
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range images {
		fits := name == "" && len(images) == 1
		for _, tag := range m.RepoTags {
			fits = fits || name != "" && isCalled(tag, name)
		}
		if !fits {
			names = append(names, either(append(m.RepoTags, m.Config)...))
			continue
		}
		parts := make([]Part, len(m.Layers))
		for n, l := range m.Layers {
			parts[n] = Part{Name: l}
			if hex, ok := strings.CutPrefix(l, "blobs/sha256/"); ok {
				parts[n].Digest = "sha256:" + hex
			}
		}
		i := &lens.Image{Name: either(append([]string{name}, append(m.RepoTags, file)...)...)}
		return i, fill(ctx, s, i, Part{Name: m.Config, MediaType: "configuration"}, parts)
	}
	return nil, which(name, names)
}

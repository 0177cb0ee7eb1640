package build

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/session/filesync"
	// As in BuildKit's own programs: names of files are bytes, which the usual encoding refuses to
	// send when they are not UTF-8. It also makes less garbage.
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// fileSender answers BuildKit when it asks for this host's directories (FileSync of BuildKit's session). It is
// BuildKit's own provider, but that a file which was listed is opened without matching all patterns once
// more, and that matching has an end.
type fileSender struct {
	dirs map[string]fsutil.FS
	lost func(error)
}

// Register implements session.Attachable.
func (s fileSender) Register(server *grpc.Server) { filesync.RegisterFileSyncServer(server, s) }

// TarStream implements filesync.FileSyncServer. BuildKit asks for it no more.
func (s fileSender) TarStream(filesync.FileSync_TarStreamServer) error {
	return status.Error(codes.Unimplemented, "directories are not sent as archives")
}

// DiffCopy implements filesync.FileSyncServer.
func (s fileSender) DiffCopy(stream filesync.FileSync_DiffCopyServer) error {
	asked := askedFor(stream.Context())
	name := strings.Join(asked["dir-name"], "")
	dir, ok := s.dirs[name]
	if !ok {
		return status.Errorf(codes.NotFound, "no access allowed to dir %q", name)
	}
	patterns := slices.Concat(asked["include-patterns"], asked["exclude-patterns"], asked["followpaths"])
	filter, err := fsutil.NewFilterFS(measured{dir, patterns, mostMatching, s.lost}, &fsutil.FilterOpt{
		IncludePatterns: asked["include-patterns"], ExcludePatterns: asked["exclude-patterns"], FollowPaths: asked["followpaths"],
		// Who owns a file here means nothing in an image.
		Map: func(_ string, stat *fstypes.Stat) fsutil.MapResult {
			stat.Uid, stat.Gid = 0, 0
			return fsutil.MapResultKeep
		},
	})
	if err != nil {
		return err
	}
	return fsutil.Send(stream.Context(), stream, listedFS{filter, dir}, nil)
}

// askedFor is what a request says in its header, where what is not ASCII is quoted.
func askedFor(ctx context.Context) map[string][]string {
	header, _ := metadata.FromIncomingContext(ctx)
	asked := map[string][]string{}
	for key, values := range header {
		quoted := strings.Join(header[key+"-encoded"], "") == "1"
		for _, v := range values {
			if quoted {
				v, _ = url.QueryUnescape(v) // then it matches nothing
			}
			asked[key] = append(asked[key], v)
		}
	}
	return asked
}

// listedFS opens what a filter has listed.
type listedFS struct {
	fsutil.FS
	all fsutil.FS
}

func (l listedFS) Open(path string) (io.ReadCloser, error) { return l.all.Open(path) }

// effort is what matching names with patterns takes.
type effort struct {
	// bytes are those of all patterns times those of each name: what matching takes at worst, on any machine.
	bytes int
	time  time.Duration
}

// Matching ends when it has taken more than both, bytes and time. A project that is large, but sane, stays below the
// bytes, so that no machine is too slow or too busy for it: 500 patterns of 20 bytes and names of 100 are 1,000,000 for
// each name. And many bytes that take little time, those of patterns without *, do no harm.
var (
	mostMatching    = effort{200_000_000, 20 * time.Second}
	matchingPerName = effort{1_000_000, time.Millisecond}
)

// measured ends a walk whose names take too long to match: a .dockerignore is written by the author of the
// context, and each of its patterns is tried on each name.
type measured struct {
	fsutil.FS
	patterns []string
	// most is the bound, to which matchingPerName is added for each name.
	most effort
	lost func(error)
}

func (m measured) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	size := 0
	for _, p := range m.patterns {
		size += len(p)
	}
	spent, allowed := effort{}, m.most
	return m.FS.Walk(ctx, target, func(path string, d fs.DirEntry, err error) error {
		begun := time.Now()
		if d == nil {
			return fn(path, d, err)
		}
		e := &matched{DirEntry: d}
		err = fn(path, e, err)
		if e.at.IsZero() {
			e.at = time.Now()
		}
		spent.bytes, allowed.bytes = spent.bytes+size*len(path), allowed.bytes+matchingPerName.bytes
		spent.time, allowed.time = spent.time+e.at.Sub(begun), allowed.time+matchingPerName.time
		if spent.bytes <= allowed.bytes || spent.time <= allowed.time {
			return err
		}
		err = m.tooSlow()
		m.lost(err)
		return err
	})
}

func (m measured) tooSlow() error {
	return hint.With(fmt.Errorf("reading the build context: its %d patterns take too long to match", len(m.patterns)),
		"fewer patterns in .dockerignore, and fewer * in each; a directory that is left out as a whole is not looked into")
}

// matched is a file that a filter looks at when it has matched its name.
type matched struct {
	fs.DirEntry
	at time.Time
}

func (e *matched) Info() (fs.FileInfo, error) {
	if e.at.IsZero() {
		e.at = time.Now()
	}
	return e.DirEntry.Info()
}

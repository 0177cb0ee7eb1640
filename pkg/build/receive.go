package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/filesync"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/report"
)

// fileReceiver takes results that are files or directories of this host (FileSend of BuildKit's session). It is
// BuildKit's own, but that what gives rights on this host stays in the image.
type fileReceiver struct {
	exports []client.ExportEntry
	dropped *report.Dropped
}

// Register implements session.Attachable.
func (r fileReceiver) Register(server *grpc.Server) { filesync.RegisterFileSendServer(server, r) }

// DiffCopy implements filesync.FileSendServer.
func (r fileReceiver) DiffCopy(stream filesync.FileSend_DiffCopyServer) error {
	header, _ := metadata.FromIncomingContext(stream.Context())
	id, err := strconv.Atoi(strings.Join(header["buildkit-attachable-exporter-id"], ""))
	if err != nil || id < 0 || id >= len(r.exports) {
		return status.Error(codes.NotFound, "there is no such result")
	}
	e := r.exports[id]
	if e.Output == nil {
		remove := e.Attrs["mode"] == string(client.LocalExporterModeDelete)
		if remove && !slices.Contains(header["buildkit-exporter-multi-platform"], "1") {
			return errors.New("mode=delete needs a newer BuildKit")
		}
		return r.directory(stream, e.OutputDir, remove)
	}
	about := map[string]string{}
	for key, values := range header {
		if name, ok := strings.CutPrefix(key, "exporter-md-"); ok {
			about[name] = strings.Join(values, ",")
		}
	}
	out, err := e.Output(about)
	if err != nil {
		return err
	}
	if out == nil {
		return status.Error(codes.AlreadyExists, "the result exists already")
	}
	return errors.Join(file(stream, out), out.Close())
}

// file takes a result that is one file.
func file(stream grpc.ServerStream, out io.Writer) error {
	for {
		var part filesync.BytesMessage
		err := stream.RecvMsg(&part)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = out.Write(part.Data)
		}
		if err != nil {
			return err
		}
	}
}

// directory takes a result that is a directory. Its files are the user's.
func (r fileReceiver) directory(stream grpc.ServerStream, dir string, remove bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating %s: %w", dir, err)
	}
	on, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening %s: %w", dir, err)
	}
	root := fsutil.NewRoot(on)
	defer func() { _ = root.Close() }()                  // what was written has been closed
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid()) //nolint:gosec // neither is negative on Unix
	o := fsutil.ReceiveOpt{Merge: !remove, Filter: func(path string, stat *fstypes.Stat) bool {
		stat.Uid, stat.Gid = uid, gid
		return r.harmless(path, stat)
	}}
	if remove {
		o.Differ = fsutil.DiffNone // so that each file is written, and no content compared by a path
	}
	return fsutil.ReceiveRoot(stream.Context(), stream, root, o)
}

// harmless drops what would give a user who runs or opens a file rights on this host that the image's author chose. It
// reports whether anything is left of it.
func (r fileReceiver) harmless(path string, stat *fstypes.Stat) bool {
	mode := fs.FileMode(stat.Mode)
	if mode&fs.ModeDevice != 0 {
		r.dropped.Device(path)
		return false
	}
	if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && !mode.IsDir() {
		stat.Mode = uint32(mode &^ (fs.ModeSetuid | fs.ModeSetgid))
		r.dropped.Setuid(path)
	}
	if _, ok := stat.Xattrs["security.capability"]; ok {
		delete(stat.Xattrs, "security.capability")
		r.dropped.Capabilities(path)
	}
	return true
}

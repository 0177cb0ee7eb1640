package gather

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/host"
)

// home looks at LINNET_HOME.
func (s Source) home(ctx context.Context) doctor.Home {
	l := s.Layout
	h := doctor.Home{Path: l.Home, Error: problem(s.LayoutError), Longest: l.LongestSocket(), Most: host.MaxSocketPath}
	var distrusted *host.DistrustError
	if errors.As(s.LayoutError, &distrusted) && s.isOwn(distrusted.Path) {
		h.Own = distrusted.Path
	}
	_, err := os.Stat(l.Home)
	h.Exists = err == nil
	there := nearest(l.Home)
	h.Writable = mayWrite(there)
	h.FS = fileSystem(there)
	if s.LayoutError != nil {
		return h
	}
	held := s.held()
	h.Dirs = s.dirs()
	h.Locks = s.locks(held)
	h.Sockets = s.sockets(ctx, held)
	return h
}

// isOwn reports whether a directory is LINNET_HOME or in it, a directory, and this user's.
func (s Source) isOwn(path string) bool {
	info, err := os.Lstat(path)
	below := path == s.Layout.Home || strings.HasPrefix(path, s.Layout.Home+string(filepath.Separator))
	return err == nil && below && info.IsDir() && owner(info) == os.Geteuid()
}

// nearest is a path, or the first directory above it that is there.
func nearest(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// dirs are linnet's directories that are there, and those that are missing beside what was made together with them.
func (s Source) dirs() (all []doctor.Dir) {
	l := s.Layout
	missed := map[string]bool{}
	if there(l.Spec()) {
		missed[l.Run()], missed[filepath.Dir(l.Log("agent"))] = true, true
	}
	if there(l.VMConfig()) {
		missed[l.VMRun()], missed[filepath.Dir(l.VMLog("relay"))] = true, true
	}
	for _, path := range l.Directories() {
		d := doctor.Dir{Path: path}
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if !missed[path] {
				continue
			}
			d.Missing = true
		case err != nil:
			continue // of what is above, something is wrong, and is said
		case info.Mode()&fs.ModeSymlink != 0:
			d.Other = "a symbolic link, and none is followed there"
		case !info.IsDir():
			d.Other = "not a directory"
		case owner(info) != 0 && owner(info) != os.Geteuid():
			d.Foreign = host.Owner(info)
		case host.OthersMayWrite(info):
			d.Open = true
		}
		all = append(all, d)
	}
	return all
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// sockets are the sockets there are, with whether a process listens.
func (s Source) sockets(ctx context.Context, held map[file]int) (all []doctor.Socket) {
	l := s.Layout
	agent := holder(held, l.AgentLock()) != 0
	relay := holder(held, l.VMLock("relay")) != 0
	guarded := map[string]bool{l.DockerSocket(): agent || relay, l.VMSocket("agent"): relay, l.VMSocket("relay"): relay}
	for _, path := range l.Sockets() {
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&fs.ModeSocket == 0 {
			continue
		}
		guard, ofVM := guarded[path]
		if !ofVM {
			guard = agent
		}
		if path == l.Socket("dockerd") && guard {
			continue // it comes and goes as clients want it
		}
		all = append(all, doctor.Socket{Path: path, Listens: answers(ctx, path) != doctor.No, Denied: !mayWrite(path), Guarded: guard})
	}
	return all
}

// file is a file by its device and number, as /proc/locks has it.
type file struct {
	major, minor uint32
	inode        uint64
}

// held are the files that processes have locked.
func (s Source) held() map[file]int {
	text, _ := s.text("/proc/locks")
	return parseLocks(text)
}

// holder is the process that has a file locked, 0 for none or unknown.
func holder(held map[file]int, path string) int {
	id, ok := fileID(path)
	if !ok {
		return 0
	}
	return held[id]
}

// locks are the lock files there are.
func (s Source) locks(held map[file]int) (all []doctor.Lock) {
	l := s.Layout
	for _, path := range []string{l.StartLock(), l.AgentLock(), l.VMLock("start"), l.VMLock("relay"), l.VMLock("limactl"), l.ImagesLock()} {
		info, err := os.Lstat(path)
		if err != nil {
			continue
		}
		lock := doctor.Lock{Path: path, Holder: holder(held, path), Momentary: path == l.StartLock() || path == l.VMLock("start")}
		switch {
		case !info.Mode().IsRegular():
			lock.Other = "it is no file"
		case !mayWrite(path):
			lock.Other = "it belongs to " + host.Owner(info)
		}
		all = append(all, lock)
	}
	return all
}

// answers reports whether a process listens on a socket: no only where the kernel says that none does. A process that is too busy to
// accept does listen, and of a socket of another user's nothing is known.
func answers(ctx context.Context, path string) doctor.Known {
	c, err := dial(ctx, path)
	switch {
	case err == nil:
		c.Close()
		return doctor.Yes
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return doctor.No
	}
	return doctor.Unknown
}

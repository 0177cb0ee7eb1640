//go:build unix

package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// DistrustError says who else than root and this user may change something that linnet goes by: what it
// runs, reads as its own, or removes. The rules are those of sshd's StrictModes: a directory and all
// above it belong to root or this user, and no other user may write there. Above, a sticky directory such
// as /tmp will do, where no user moves what is another's; and so will a group that has one member, the
// owner, which many systems give every user, unless this process is root's.
type DistrustError struct {
	// Path is what it is about: the thing itself or a directory above.
	Path string
	// Reason is what is wrong with it: "belongs to alice (uid 1000), mode 0755".
	Reason string
}

func (e *DistrustError) Error() string { return e.Path + " " + e.Reason }

// Distrusted makes of a DistrustError one that begins with what and has a hint; others, nil included,
// stay as they are.
func Distrusted(what string, err error, fix string) error {
	if d := (*DistrustError)(nil); !errors.As(err, &d) {
		return err
	}
	return &hint.Error{Err: fmt.Errorf("%s: %w", what, err), Fix: fix}
}

// trust is who may change something.
type trust struct {
	owners []uint32
	// except is a directory that is not looked at, nor those above it; "" is none.
	except string
}

// own is trust in root and the user that this process acts for, alone.
func own() trust {
	return trust{owners: []uint32{0, uint32(os.Geteuid())}} //nolint:gosec // a user's number
}

// ownAnd is trust in whom a running program belongs to, too, and in what is above it.
func ownAnd(program string) trust {
	t := own()
	var st unix.Stat_t
	if beside, err := filepath.EvalSymlinks(filepath.Dir(program)); err == nil && unix.Lstat(beside, &st) == nil {
		t = trust{owners: append(t.owners, st.Uid), except: beside}
	}
	return t
}

// check looks at one file or directory. above says that it is a directory on the way to what is meant.
func (t trust) check(path string, st *unix.Stat_t, above bool) error {
	if t.except != "" && (t.except == path || strings.HasPrefix(t.except, strings.TrimSuffix(path, "/")+"/")) {
		return nil
	}
	mode := uint32(st.Mode) //nolint:unconvert // 16 bits on macOS
	// Only for what is wrong: looking for a user's name may ask a server.
	reason := func() string { return fmt.Sprintf("belongs to %s, mode %04o", userName(st.Uid), mode&0o7777) }
	if !slices.Contains(t.owners, st.Uid) {
		return &DistrustError{Path: path, Reason: reason()}
	}
	if mode&unix.S_IFMT == unix.S_IFLNK {
		return nil // who may change it is said by the directory
	}
	others := mode&0o002 != 0 || mode&0o020 != 0 && !privateGroup(st.Uid, st.Gid)
	if others && (!above || mode&unix.S_ISVTX == 0) {
		return &DistrustError{Path: path, Reason: "can be written by others: it " + reason()}
	}
	return nil
}

// unseen is what an error of lstat(2) means: nil when nothing is there yet, or when others have to say
// what is, as this user may not look. Anything else leaves open who may change the path.
func unseen(path string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EACCES) && os.Geteuid() != 0 {
		return nil
	}
	return &DistrustError{Path: path, Reason: "cannot be looked at: " + err.Error()}
}

// OthersMayWrite reports whether a user other than root and this one may write to what info, of os.Stat or the like,
// describes. A group that has one member, the owner, is no other user.
func OthersMayWrite(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return !ok || own().check("", &unix.Stat_t{Mode: s.Mode, Uid: s.Uid, Gid: s.Gid}, false) != nil
}

// way goes to a path, absolute, and checks every directory on the way, that of each link included, and
// what is there. It returns the real path: no part of it is a symbolic link. What is not there yet,
// behind a link too, will be made; what this user may not look at, others have to say.
func (t trust) way(path string) (real string, err error) {
	real = "/"
	rest := strings.Split(path, "/")
	for links := 0; ; {
		var st unix.Stat_t
		if err := unix.Lstat(real, &st); err != nil {
			return filepath.Join(real, filepath.Join(rest...)), unseen(real, err)
		}
		rest = slices.DeleteFunc(rest, func(name string) bool { return name == "" || name == "." })
		if err := t.check(real, &st, len(rest) > 0); err != nil {
			return "", err
		}
		if uint32(st.Mode)&unix.S_IFMT == unix.S_IFLNK { //nolint:unconvert // 16 bits on macOS
			target, err := os.Readlink(real)
			if links++; err != nil || links > 40 {
				return "", &DistrustError{Path: path, Reason: "leads through too many symbolic links"}
			}
			rest = append(strings.Split(target, "/"), rest...)
			if real = filepath.Dir(real); filepath.IsAbs(target) {
				real = "/"
			}
			continue
		}
		if len(rest) == 0 {
			return real, nil
		}
		real, rest = filepath.Join(real, rest[0]), rest[1:] // ".." of what is real
	}
}

// userName names a user with the number; the number alone when there is none.
func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username + " (uid " + number + ")"
	}
	return "uid " + number
}

// privateGroup reports whether a group has but one member, an ordinary user: its name is the user's,
// and neither /etc/group nor /etc/passwd puts anybody else into it. Such users make directories that their
// group may write to. Root goes by none: who is in a group can come from elsewhere, too.
func privateGroup(uid, gid uint32) bool {
	if uid == 0 || os.Geteuid() == 0 {
		return false
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil || u.Gid != strconv.FormatUint(uint64(gid), 10) {
		return false
	}
	groups, err := os.ReadFile("/etc/group")
	if err != nil {
		return false
	}
	users, err := os.ReadFile("/etc/passwd")
	return err == nil && isPrivate(string(groups), string(users), u)
}

// isPrivate looks for the owner's group in the lists of groups (group(5): name:password:GID:members) and
// of users (passwd(5): name:password:UID:GID:...), whose own group makes them members that the former
// does not list. A group that stands there twice has the members of both lines.
func isPrivate(groups, users string, owner *user.User) bool {
	found := 0
	for line := range strings.Lines(groups) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 4 || fields[2] != owner.Gid {
			continue
		}
		if found++; found > 1 || fields[0] != owner.Username || fields[3] != "" && fields[3] != owner.Username {
			return false
		}
	}
	for line := range strings.Lines(users) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) >= 4 && fields[3] == owner.Gid && fields[2] != owner.Uid {
			return false
		}
	}
	return found == 1
}

// entry checks what is in a directory that is trusted, and the way to what it leads to where it is a link.
func (t trust) entry(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return unseen(path, err) // of what is missing, the caller that needs it says so
	}
	if uint32(st.Mode)&unix.S_IFMT == unix.S_IFLNK { //nolint:unconvert // 16 bits on macOS
		_, err := t.way(path)
		return err
	}
	return t.check(path, &st, false)
}

// checkDirs checks directories whose parents are trusted, and follows no link to one.
func checkDirs(dirs ...string) error {
	t := own()
	for _, dir := range dirs {
		var st unix.Stat_t
		err := unix.Lstat(dir, &st)
		if err != nil {
			if err := unseen(dir, err); err != nil {
				return err
			}
			continue
		}
		if err := t.check(dir, &st, false); err != nil {
			return err
		}
		if uint32(st.Mode)&unix.S_IFMT == unix.S_IFLNK { //nolint:unconvert // 16 bits on macOS
			return &DistrustError{Path: dir, Reason: "is a symbolic link, and none is followed there"}
		}
	}
	return nil
}

// CheckDirs checks who else may change the directories of linnet below Home and in /run, all of them. The
// way to Home was checked by NewLayout.
func (l Layout) CheckDirs() error { return distrustDirs(append(l.dirs(), l.innerDirs()...)) }

func distrustDirs(dirs []string) error {
	return Distrusted("using what linnet keeps", checkDirs(dirs...),
		"see what is in it and who made it; then remove it, or make it a directory of yours alone (chown, chmod go-w)")
}

// CheckOwners checks who else may change what each command goes by: linnet's directories, but for what
// is further inside, which CheckDirs looks at when an engine starts, and, for root, the settings and the
// programs that it is going to run. It takes some thirty lstat(2). program is the path of the running
// program.
func (l Layout) CheckOwners(program string) error {
	if err := distrustDirs(l.dirs()); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil // no privileges but the user's own are at stake
	}
	if err := own().entry(l.Settings()); err != nil {
		return Distrusted("reading the settings", err, "see what is in it; then chown root and chmod go-w it")
	}
	return l.CheckPrograms(program, l.Bin("nerdctl"))
}

// CheckPrograms checks, for root, who else may change the pinned components, and files among them; all
// when none is named. What is above the running program does not count, nor does its owner: who can
// change that needs no component to have linnet do things.
func (l Layout) CheckPrograms(program string, files ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	t := ownAnd(program)
	_, err := t.way(l.Libexec)
	dirs := []string{l.BinDir(), l.CNI()}
	if len(files) == 0 {
		dirs = append(dirs, l.Emulators())
		files = append(files, l.Agent(program))
		for _, dir := range dirs {
			entries, _ := os.ReadDir(dir) // what is missing is said elsewhere
			for _, e := range entries {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	for _, path := range append(dirs, files...) {
		if err == nil {
			err = t.entry(path)
		}
	}
	return Distrusted("running linnet's components as root", err,
		"install them where root alone can write, or take that away from others (chown root, chmod go-w)")
}

// MakeDir makes a directory of linnet's, for its user alone, and those above it, and sees that they
// are: another user may have been quicker.
func MakeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	_, err := own().way(dir)
	return Distrusted("making "+dir, err, "see who made it; then remove it, or set LINNET_HOME to another directory")
}

// ReadOwn reads a file that linnet itself has written, which must be root's or this user's, no other
// user's to write, and no link.
func ReadOwn(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, &DistrustError{Path: path, Reason: "is a symbolic link, and none is followed there"}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if err := own().check(path, &st, false); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// DialUnix connects to a unix socket that is root's or this user's, with a *DistrustError for any other.
// Who may put one there is said by the directory.
func DialUnix(ctx context.Context, path string) (net.Conn, error) {
	if err := checkSocket(path); err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, "unix", path)
}

func checkSocket(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return unseen(path, err)
	}
	if slices.Contains(own().owners, st.Uid) {
		return nil // whether it is a socket, connecting shows
	}
	return own().check(path, &st, false)
}

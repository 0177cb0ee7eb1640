package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// installation is how the client's programs came to where they are.
type installation struct {
	// Prefix is the directory that bin and libexec are in.
	Prefix string
	// Files are an archive's, slash-separated, below Prefix; none where linnet does not remove them.
	Files []string
	// Instead is the command of a package manager that removes the programs, or where they can be found.
	Instead string
}

// managers are the commands that remove linnet, by what a package says in libexec/linnet/package.
var managers = map[string]string{"deb": "apt remove linnet", "rpm": "dnf remove linnet"}

// findInstallation looks beside a program, whose links are followed: what LINNET_LIBEXEC names is not what was installed with it.
func findInstallation(program string) (installation, error) {
	if target, err := filepath.EvalSymlinks(program); err == nil {
		program = target
	}
	in := installation{Prefix: filepath.Dir(filepath.Dir(program))}
	libexec := filepath.Join(in.Prefix, "libexec", "linnet")
	if strings.Contains(in.Prefix, "/Cellar/linnet/") {
		in.Instead = "brew uninstall linnet"
		return in, nil
	}
	kind, err := os.ReadFile(filepath.Join(libexec, "package"))
	if manager, known := managers[strings.TrimSpace(string(kind))]; known {
		in.Instead = manager
		return in, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return in, fmt.Errorf("finding how linnet was installed: %w", err)
	}
	list, err := os.ReadFile(filepath.Join(libexec, "files"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return in, fmt.Errorf("finding how linnet was installed: %w", err)
	}
	names := strings.Split(strings.TrimSpace(string(list)), "\n")
	if !slices.Contains(names, "bin/"+filepath.Base(program)) {
		in.Instead = "neither an archive nor a package brought them to " + filepath.Dir(program)
		return in, nil
	}
	for _, name := range names {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return in, fmt.Errorf("reading %s: %q is no file below %s", filepath.Join(libexec, "files"), name, in.Prefix)
		}
		in.Files = append(in.Files, name)
	}
	if dir := in.unwritable(); dir != "" {
		in.Files, in.Instead = nil, fmt.Sprintf("sudo %s uninstall --keep-data (%s is not yours to write)", program, dir)
	}
	return in, nil
}

// unwritable is the first directory of the files in which this user may remove nothing; "" is none.
func (in installation) unwritable() string {
	for _, dir := range in.dirs() {
		if err := unix.Access(dir, unix.W_OK); err != nil && !errors.Is(err, unix.ENOENT) {
			return dir
		}
	}
	return ""
}

// dirs are the directories that the files are in, those further inside first. Prefix is none of them.
func (in installation) dirs() []string {
	var dirs []string
	for _, name := range in.Files {
		for dir := filepath.Dir(filepath.FromSlash(name)); dir != "."; dir = filepath.Dir(dir) {
			dirs = append(dirs, filepath.Join(in.Prefix, dir))
		}
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	slices.Reverse(dirs) // "a/b" comes before "a" then
	return dirs
}

// remove removes the files, and directories that are empty then; the list of the files goes last, so that it can be done again.
func (in installation) remove() error {
	const list = "libexec/linnet/files"
	names := slices.DeleteFunc(slices.Clone(in.Files), func(name string) bool { return name == list })
	for _, name := range append(names, list) {
		err := os.Remove(filepath.Join(in.Prefix, filepath.FromSlash(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the programs: %w", err)
		}
	}
	for _, dir := range in.dirs() {
		_ = os.Remove(dir) // others' files may be in it
	}
	return nil
}

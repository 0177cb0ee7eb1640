package options

import (
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// Project is a name for what is built in a directory that is the same in every checkout and on every
// machine: the address of the git remote called origin. It is empty where there is none.
func Project(dir string) string {
	top, git := gitDir(dir)
	if git == "" {
		return ""
	}
	address := origin(filepath.Join(git, "config"))
	if address == "" {
		return ""
	}
	rel, err := filepath.Rel(top, dir)
	if err != nil || rel == "." {
		return address
	}
	return address + "//" + filepath.ToSlash(rel)
}

// gitDir finds the top of the checkout that a directory is in and where its settings are. In a
// worktree .git is a file that names a directory of the main checkout's.
func gitDir(dir string) (top, git string) {
	for top = dir; ; top = filepath.Dir(top) {
		path := filepath.Join(top, ".git")
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			return top, path
		default:
			return top, linkedGitDir(top, path)
		}
		if top == filepath.Dir(top) {
			return "", ""
		}
	}
}

func linkedGitDir(top, path string) string {
	text, err := readSmall(path)
	if err != nil {
		return ""
	}
	dir, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
	if !ok {
		return ""
	}
	dir = resolve(top, dir)
	if common, err := readSmall(filepath.Join(dir, "commondir")); err == nil {
		return resolve(dir, strings.TrimSpace(string(common)))
	}
	return dir
}

// mostSettings bounds what is read of a directory's settings, in bytes.
const mostSettings = 1 << 20

// readSmall reads a regular file whose writer is not trusted: it does not wait for a pipe's writer, and reads no
// more than is good for settings.
func readSmall(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("it is no regular file"))
	}
	text, err := io.ReadAll(io.LimitReader(f, mostSettings+1))
	if err == nil && len(text) > mostSettings {
		err = errors.New("it is too large")
	}
	return text, err
}

// resolve makes a path that a git file names absolute: base is what it is relative to.
func resolve(base, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// origin reads the remote's address from a git configuration file. What git includes there from
// elsewhere is not followed.
func origin(path string) string {
	text, err := readSmall(path)
	if err != nil {
		return ""
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if ok && section == `[remote "origin"]` && strings.TrimSpace(key) == "url" {
			return plainAddress(strings.Trim(strings.TrimSpace(value), `"`))
		}
	}
	return ""
}

// scp is git's short way to write an address of ssh: user@host:path.
var scp = regexp.MustCompile(`^(?:[^@/]+@)?([^:/]+):([^/].*)$`)

// plainAddress is host/path: without scheme, user and password, so that a checkout by https and
// one by ssh are the same project.
func plainAddress(address string) string {
	if m := scp.FindStringSubmatch(address); m != nil && !strings.Contains(address, "://") {
		address = "ssh://" + m[1] + "/" + m[2]
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "" // a path of this machine means nothing on another
	}
	return strings.ToLower(u.Hostname()) + "/" + strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
}

package build

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Project is a name for what is built in a folder that is the same in every checkout and on every
// machine: the address of the git remote called origin. It is empty where there is none.
func Project(dir string) string {
	top, git := gitFolder(dir)
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

// gitFolder finds the top of the checkout that a folder is in and where its settings are. In a
// worktree .git is a file that names a folder of the main checkout's.
func gitFolder(dir string) (top, git string) {
	for top = dir; ; top = filepath.Dir(top) {
		path := filepath.Join(top, ".git")
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			return top, path
		default:
			return top, linkedFolder(top, path)
		}
		if top == filepath.Dir(top) {
			return "", ""
		}
	}
}

func linkedFolder(top, path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	dir, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
	if !ok {
		return ""
	}
	dir = within(top, dir)
	if common, err := os.ReadFile(filepath.Join(dir, "commondir")); err == nil {
		return within(dir, strings.TrimSpace(string(common)))
	}
	return dir
}

func within(base, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// origin reads the remote's address from a git configuration file. What git includes there from
// elsewhere is not followed.
func origin(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	section := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
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

// sharedKey names the copy that BuildKit keeps of a folder, so that the next build sends what has
// changed since and no more. It goes by the path, not by the project: another checkout's files
// have other times, and with one copy for both each build would send all of them again.
func sharedKey(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:16])
}

package lab

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Debian unpacks packages of this machine's Debian into a directory, and installs nothing: what they depend on is not looked at. The
// directory is kept, and packages that are in it are not fetched again.
func Debian(packages ...string) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "linnet", "debian")
	sum := sha256.Sum256([]byte(strings.Join(packages, " ")))
	dir = filepath.Join(cache, fmt.Sprintf("%s-%x", packages[0], sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	part, err := os.MkdirTemp(cache, "part-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	if err := unpackDebian(part, packages); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(part, "root"), dir); err != nil && !os.IsExist(err) {
		return "", err
	}
	return dir, nil
}

func unpackDebian(dir string, packages []string) error {
	get := exec.Command("apt-get", append([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, packages...)...)
	get.Dir = dir
	if out, err := get.CombinedOutput(); err != nil {
		return fmt.Errorf("fetching %s: %w\n%s", strings.Join(packages, " "), err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := run("dpkg", "-x", file, filepath.Join(dir, "root")); err != nil {
			return err
		}
	}
	return nil
}

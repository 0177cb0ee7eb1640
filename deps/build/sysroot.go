package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/linnet-dev/linnet/deps"
)

// sysroot is what cgo takes instead of the build machine's own compiler and libraries. The zero value changes nothing.
type sysroot struct {
	compiler string
	dir      string
	packages map[string]string // the versions of what is in dir, by name
}

// packagesFile is in a sysroot, and has the name and the version of each Debian package there, a line each.
const packagesFile = "packages"

// crosses reports whether a component needs a C compiler for another architecture.
func (b *builder) crosses(c deps.Component) bool { return c.Cgo && b.goarch != runtime.GOARCH }

// provideSysroot fetches the libraries that a component is linked with for another architecture, unless the cache has them. They
// stay there, so that the component's key stays the same until the directory is removed.
func (b *builder) provideSysroot(ctx context.Context, c deps.Component) (s sysroot, err error) {
	if !b.crosses(c) {
		return sysroot{}, nil
	}
	cross := c.Cross[b.goarch]
	sum := sha256.Sum256([]byte(strings.Join(cross.Sysroot, " ")))
	s = sysroot{cross.Compiler, filepath.Join(b.cache, "sysroot-"+b.goarch+"-"+hex.EncodeToString(sum[:6])), map[string]string{}}
	text, err := os.ReadFile(filepath.Join(s.dir, packagesFile))
	if errors.Is(err, fs.ErrNotExist) {
		if err = b.fetchSysroot(ctx, s.dir, cross.Sysroot); err == nil {
			text, err = os.ReadFile(filepath.Join(s.dir, packagesFile))
		}
	}
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(text)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		s.packages[name] = version
	}
	return s, nil
}

// fetchSysroot makes a sysroot, whole or not at all.
func (b *builder) fetchSysroot(ctx context.Context, to string, packages []string) (err error) {
	temp, err := os.MkdirTemp(b.cache, tempPrefix+"sysroot-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	b.say("fetching %s for %s", strings.Join(packages, " and "), b.goarch)
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(b.modules, "sysroot.sh"), append([]string{b.goarch, temp}, packages...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return &hintError{
			fmt.Errorf("fetching %s for %s: %w\n%s", strings.Join(packages, " and "), b.goarch, err, lastLines(out.String(), 20)),
			"it takes a Debian machine, whose own mirrors are asked: see whether `apt-get update` works",
		}
	}
	if err := os.RemoveAll(to); err != nil { // one without a list of packages
		return err
	}
	return os.Rename(filepath.Join(temp, "root"), to)
}

// env points cgo at the compiler and pkg-config at the libraries.
func (s sysroot) env() []string {
	if s.compiler == "" {
		return nil
	}
	libraries, _ := filepath.Glob(filepath.Join(s.dir, "usr", "lib", "*", "pkgconfig")) // the pattern is well-formed
	return []string{
		"CC=" + s.compiler, "PKG_CONFIG_PATH=", "PKG_CONFIG_SYSROOT_DIR=" + s.dir,
		"PKG_CONFIG_LIBDIR=" + strings.Join(libraries, string(filepath.ListSeparator)),
	}
}

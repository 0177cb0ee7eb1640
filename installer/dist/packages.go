package main

import (
	"cmp"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// packager is a kind of package: what it calls others' packages, and where it wants files.
type packager struct {
	name string
	// file is the package's name by the package's version and the architecture as Go names it.
	file func(version, arch string) string
	// libraries are the packages of shared libraries, by what ELF calls the library; libc needs a version.
	libc                           func(version string) string
	libraries                      map[string]string
	depends, recommends, suggested []string
	// zsh is where zsh looks for completions below /usr/share.
	zsh string
}

var packagers = []packager{
	{
		name:    "deb",
		file:    func(version, arch string) string { return "linnet_" + version + "_" + arch + ".deb" },
		libc:    func(version string) string { return "libc6 (>= " + version + ")" },
		depends: []string{"ca-certificates", "iptables", "kmod"}, libraries: map[string]string{"libseccomp.so.2": "libseccomp2"},
		recommends: []string{"qemu-user-static"}, suggested: []string{"qemu-system", "openssh-client"},
		zsh: "zsh/vendor-completions",
	},
	{
		name: "rpm",
		file: func(version, arch string) string {
			return "linnet-" + version + "-1." + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch] + ".rpm"
		},
		libc:    func(version string) string { return "glibc >= " + version },
		depends: []string{"ca-certificates", "iptables", "kmod"}, libraries: map[string]string{"libseccomp.so.2": "libseccomp"},
		recommends: []string{"qemu-user-static"}, suggested: []string{"qemu-kvm", "openssh-clients"},
		zsh: "zsh/site-functions",
	},
}

// packageName is the file that says which kind of package linnet was installed by, below its prefix.
const packageName = "libexec/linnet/package"

// zshFunctions is where the archives have zsh's completions, below share.
const zshFunctions = "zsh/site-functions"

// writePackages makes a target's deb and rpm of what its archive holds. No service is installed, and no script starts anything.
func (d *dist) writePackages(ctx context.Context, t target, stage string) error {
	linked, err := linkedBy(filepath.Join(stage, "libexec", "linnet", "bin", "runc"))
	if err != nil {
		return err
	}
	for _, p := range packagers {
		text, err := yaml.Marshal(d.packageConfig(p, t, stage, linked))
		if err != nil {
			return err
		}
		config := stage + "." + p.name + ".yaml"
		if err := os.WriteFile(stage+".package."+p.name, []byte(p.name+"\n"), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(config, text, 0o644); err != nil {
			return err
		}
		to := filepath.Join(d.work, p.file(d.release.Package(), t.Arch))
		cmd := exec.CommandContext(ctx, d.nfpm, "package", "--config", config, "--packager", p.name, "--target", to)
		cmd.Dir = d.root
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(d.release.Time.Unix(), 10))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("making the %s: %w\n%s", p.name, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// packageConfig is nfpm's configuration of a package.
func (d *dist) packageConfig(p packager, t target, stage string, linked libraries) map[string]any {
	depends := p.depends
	if linked.libc != "" {
		depends = append([]string{p.libc(linked.libc)}, depends...)
	}
	for _, name := range linked.names {
		if known, ok := p.libraries[name]; ok {
			depends = append(depends[:len(depends):len(depends)], known)
		}
	}
	tree := func(from, to string) map[string]any {
		return map[string]any{"src": filepath.Join(stage, filepath.FromSlash(from)), "dst": "/usr/" + to, "type": "tree"}
	}
	share := []map[string]any{tree("bin", "bin"), tree("libexec/linnet", "libexec/linnet")}
	for _, dir := range []string{"bash-completion", "doc/linnet", "fish", "man"} {
		share = append(share, tree("share/"+dir, "share/"+dir))
	}
	share = append(share, tree("share/"+zshFunctions, "share/"+p.zsh))
	share = append(share, map[string]any{"src": stage + ".package." + p.name, "dst": "/usr/" + packageName})
	return map[string]any{
		"name": "linnet", "arch": t.Arch, "platform": "linux", "version": d.release.Package(), "version_schema": "none", "release": "1",
		"section": "admin", "priority": "optional", "license": "Apache-2.0",
		"maintainer": "The linnet authors <https://github.com/linnet-dev/linnet>", "vendor": "The linnet authors",
		"homepage": "https://github.com/linnet-dev/linnet", "mtime": d.release.Time,
		"description": "build, run and compose containers on this machine\n" +
			"linnet brings its own engine (containerd, BuildKit and nerdctl, in pinned versions)\nand starts it with the first command that needs it.",
		"depends": depends, "recommends": p.recommends, "suggests": p.suggested, "contents": share,
		"umask":   0o022,
		"rpm":     map[string]any{"compression": "zstd", "buildhost": "localhost", "group": "Applications/System", "summary": "build, run and compose containers on this machine"},
		"scripts": map[string]any{"preremove": filepath.Join(d.root, "installer", "packages", "preremove.sh")},
	}
}

// libraries are the shared libraries that a program is linked with, and the oldest libc that has what it calls ("2.34").
type libraries struct {
	names []string
	libc  string
}

// linkedBy reads that from a program. Of the components runc alone is linked with any: the others are Go throughout.
func linkedBy(path string) (libraries, error) {
	f, err := elf.Open(path)
	if err != nil {
		return libraries{}, fmt.Errorf("reading what %s is linked with: %w", filepath.Base(path), err)
	}
	defer func() { _ = f.Close() }()
	names, err := f.ImportedLibraries()
	if err != nil || len(names) == 0 {
		return libraries{}, err
	}
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return libraries{}, fmt.Errorf("reading what %s is linked with: %w", filepath.Base(path), err)
	}
	l := libraries{names: names}
	for _, s := range symbols {
		if version, ok := strings.CutPrefix(s.Version, "GLIBC_"); ok && compareVersions(version, l.libc) > 0 {
			l.libc = version
		}
	}
	return l, nil
}

// compareVersions compares numbers with points between them; "" is before all.
func compareVersions(x, y string) int {
	xs, ys := strings.Split(x, "."), strings.Split(y, ".")
	for i := range max(len(xs), len(ys)) {
		var a, b int
		if i < len(xs) {
			a, _ = strconv.Atoi(xs[i])
		}
		if i < len(ys) {
			b, _ = strconv.Atoi(ys[i])
		}
		if c := cmp.Compare(a, b); c != 0 {
			return c
		}
	}
	return 0
}

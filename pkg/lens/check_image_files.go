package lens

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

func imageFileChecks() []*Check {
	return []*Check{
		{
			ID: "image-setuid", Title: "No program gives rights away", Level: Warning, Questions: []string{"SEC_04"}, Practices: []string{"setuid"},
			Why:   "A program that runs as its owner, or with capabilities of its own, is a way up for an intruder in the container. Programs that may are the project's: allow.setuid in .linnet/lens.yaml.",
			Fix:   "take the right away: chmod a-s FILE, or setcap -r FILE",
			image: checkImageSetuid,
		},
		{
			ID: "image-writable", Title: "Not everyone can write", Level: Warning, Questions: []string{"SEC_04"}, Practices: []string{"setuid"},
			Why:   "Any process in the container can change such a file, and what runs it next is someone else's program.",
			Fix:   "chmod o-w; a directory for all has the sticky bit: chmod 1777",
			image: checkImageWritable,
		},
		{
			ID: "image-shell", Title: "No shell and no package manager", Level: Info, Questions: []string{"SEC_04"}, Practices: []string{"no-shell"},
			Why:   "Both are tools of an intruder, and of no use to a program that is run by itself.",
			Fix:   "end with a distroless image, or with scratch",
			image: checkImageShell,
		},
		{
			ID: "image-compiler", Title: "No compiler", Level: Warning, Questions: []string{"OPS_01", "COST_04"}, Practices: []string{"multi-stage"},
			Why:   "What builds the program is larger than the program, and a gift to an intruder.",
			Fix:   "build in a stage of its own, and COPY --from it what the program needs",
			URL:   "https://docs.docker.com/build/building/multi-stage/",
			image: checkImageCompiler,
		},
	}
}

// usualPrograms are programs of Debian, Alpine and Fedora that need the right for what they are.
var usualPrograms = []string{
	"su", "mount", "umount", "passwd", "chsh", "chfn", "newgrp", "gpasswd", "chage", "expiry", "unix_chkpwd", "pam_timestamp_check", "userhelper", "bbsuid", "wall", "write", "ssh-agent", "ssh-keysign",
	"dbus-daemon-launch-helper", "newuidmap", "newgidmap", "crontab", "dotlockfile", "utempter", "polkit-agent-helper-1", "pkexec", "fusermount", "fusermount3", "ping", "arping", "clockdiff", "at",
}

func checkImageSetuid(i *Image, c *Config) (all []found) {
	var usual []string
	first := -1
	for _, f := range i.tree().files {
		right := rightOf(f.Entry)
		if right == "" || matches(f.Path, c.Setuid...) {
			continue
		}
		if slices.Contains(usualPrograms, path.Base(f.Path)) {
			if usual = append(usual, f.Path); first < 0 {
				first = f.layer
			}
			continue
		}
		all = append(all, found{text: fmt.Sprintf("%s %s, from %s", f.Path, right, i.of(f.layer)), place: i.place(f.layer, f.Path, 0)})
	}
	if len(usual) > 0 {
		all = append(all, found{level: Info, text: fmt.Sprintf("%s of the distribution's that run as root: %s", count(len(usual), "program"), some(usual)), place: i.place(first, usual[0], 0)})
	}
	return all
}

func rightOf(e *Entry) string {
	switch {
	case e.Kind != kindFile:
		return ""
	case e.Mode&0o4000 != 0 && e.Mode&0o111 != 0 && e.UID == 0:
		return "runs as root for everyone (setuid)"
	case e.Mode&0o4000 != 0 && e.Mode&0o111 != 0:
		return fmt.Sprintf("runs as user %d for everyone (setuid)", e.UID)
	case e.Mode&0o2000 != 0 && e.Mode&0o111 != 0:
		return fmt.Sprintf("runs as group %d for everyone (setgid)", e.GID)
	case e.Detail != nil && e.Detail.Capabilities:
		return "has capabilities of its own"
	}
	return ""
}

func checkImageWritable(i *Image, _ *Config) (all []found) {
	names := map[int][]string{}
	for _, f := range i.tree().files {
		open := f.Mode&0o002 != 0
		if f.Kind == kindFile && open || f.Kind == kindDir && open && f.Mode&0o1000 == 0 {
			names[f.layer] = append(names[f.layer], f.Path)
		}
	}
	for layer := range i.Layers {
		if n := names[layer]; len(n) > 0 {
			all = append(all, found{text: fmt.Sprintf("everyone can write to %s, from %s", some(n), i.of(layer)), place: i.place(layer, n[0], 0)})
		}
	}
	return all
}

var (
	shells       = []string{"sh", "bash", "ash", "dash", "zsh", "busybox"}
	packageTools = []string{"apt", "apt-get", "dpkg", "apk", "dnf", "microdnf", "yum", "rpm", "zypper", "pacman"}
	compilers    = []string{"gcc", "cc", "g++", "c++", "clang", "tcc", "rustc", "cargo", "javac", "ghc", "ld", "as", "make", "cmake", "ninja"}
)

// inPath are programs of an image by their names, in directories that programs are found in.
func (i *Image) inPath(names []string) (all []ref) {
	for _, f := range i.tree().files {
		dir, base := path.Split(f.Path)
		if (f.Kind == kindFile && f.Mode&0o111 != 0 || f.Kind == kindSymlink || f.Kind == kindLink) && slices.Contains(names, base) && strings.HasSuffix(dir, "bin/") {
			all = append(all, f)
		}
	}
	return all
}

func checkImageShell(i *Image, _ *Config) []found {
	has := i.inPath(append(slices.Clone(shells), packageTools...))
	if len(has) == 0 {
		return nil
	}
	var names []string
	for _, f := range has {
		if base := path.Base(f.Path); !slices.Contains(names, base) {
			names = append(names, base)
		}
	}
	slices.Sort(names)
	return []found{{text: fmt.Sprintf("the image has %s, from %s", some(names), i.of(has[0].layer)), place: i.place(has[0].layer, has[0].Path, 0)}}
}

// builders are compilers with names, or in places, of their own.
func builder(name string) bool {
	return strings.HasSuffix(name, "usr/local/go/bin/go") || strings.HasSuffix(name, "/cc1") || strings.HasSuffix(name, "/cc1plus") || strings.HasSuffix(name, "go/pkg/tool/linux_amd64/compile")
}

func checkImageCompiler(i *Image, _ *Config) (all []found) {
	has := i.inPath(compilers)
	for _, f := range i.tree().files {
		if f.Kind == kindFile && f.Mode&0o111 != 0 && builder(f.Path) {
			has = append(has, f)
		}
	}
	names, sizes := map[int][]string{}, map[int]int64{}
	for _, f := range has {
		names[f.layer] = append(names[f.layer], f.Path)
		sizes[f.layer] += f.Size
	}
	for layer := range i.Layers {
		if n := names[layer]; len(n) > 0 {
			all = append(all, found{text: fmt.Sprintf("%s: what builds programs, from %s", some(n), i.of(layer)), place: i.place(layer, n[0], sizes[layer])})
		}
	}
	return all
}

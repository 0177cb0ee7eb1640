package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/deps"
)

// foreign is another architecture than this machine's.
func foreign() string {
	if runtime.GOARCH == "arm64" {
		return "amd64"
	}
	return "arm64"
}

// cross makes a house in which one has cgo and is built for another architecture, with a script that fetches the version of a package
// that the file next says.
func cross(t *testing.T) *house {
	h := newHouse(t)
	h.b.goarch, h.one.Cgo = foreign(), true
	h.one.Needs = []deps.Need{{Library: "linnet-no-such-library", Debian: "native-dev"}}
	h.one.Cross = map[string]deps.Cross{foreign(): {Compiler: "cross-cc", Sysroot: []string{"lib-dev", "lib"}}}
	h.set("next", "1.0")
	h.write("deps/sysroot.sh", `#!/bin/sh
set -e
[ -e "`+h.state+`/next" ] || { echo 'no mirror' >&2; exit 1; }
mkdir -p "$2/root/usr/lib/any-linux-gnu/pkgconfig"
version=$(cat "`+h.state+`/next")
echo "$@" | sed "s|$2 ||" >>"`+h.state+`/fetched"
printf 'lib-dev %s\nlib %s\n' "$version" "$version" >"$2/root/packages"
`)
	return h
}

// The other components build with cgo off, so a sysroot is fetched for one alone, once, and is in the key of one.
func TestCgoCrossBuildsInASysroot(t *testing.T) {
	h := cross(t)
	h.want("first run", h.install(), everything)
	h.want("second run", h.install(), nil)
	fetched, err := os.ReadFile(filepath.Join(h.state, "fetched"))
	if want := foreign() + " lib-dev lib\n"; err != nil || string(fetched) != want {
		t.Errorf("fetched %q, %v, want %q", fetched, err, want)
	}
	dirs, err := filepath.Glob(filepath.Join(h.b.cache, "sysroot-"+foreign()+"-*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("sysroots: %q, %v", dirs, err)
	}
	env, err := os.ReadFile(filepath.Join(h.state, "env-a"))
	want := "CC=cross-cc\nPKG_CONFIG_PATH=\nPKG_CONFIG_SYSROOT_DIR=" + dirs[0] + "\nPKG_CONFIG_LIBDIR=" + filepath.Join(dirs[0], "usr/lib/any-linux-gnu/pkgconfig") + "\n"
	if err != nil || string(env) != want {
		t.Errorf("for cgo: %v\n%s\nwant\n%s", err, env, want)
	}
	h.set("next", "1.1")
	if err := os.RemoveAll(dirs[0]); err != nil {
		t.Fatal(err)
	}
	h.want("after another version was fetched", h.install(), oneBuilds)
}

func TestSysrootThatCannotBeFetched(t *testing.T) {
	h := cross(t)
	h.unset("next")
	err := h.b.install(t.Context(), []deps.Component{h.one})
	hint := new(hintError)
	want := "one: fetching lib-dev and lib for " + foreign() + ": exit status 1\nno mirror"
	if !errors.As(err, &hint) || err.Error() != want || !strings.Contains(hint.hint, "apt-get update") {
		t.Errorf("got %v, want %q", err, want)
	}
	h.want("the cache", tree(t, h.b.cache), nil)
}

func TestCrossBuildHasItsOwnNeeds(t *testing.T) {
	h := cross(t)
	file := filepath.Join(h.state, "stdlib.h")
	x := h.one.Cross[foreign()]
	x.Needs = []deps.Need{{File: file, Debian: "libc-cross"}, {Command: "linnet-no-such-compiler", Debian: "cross-gcc"}}
	h.one.Cross[foreign()] = x
	err := h.b.install(t.Context(), []deps.Component{h.one})
	hint := new(hintError)
	want := "one needs " + file + ", which is not installed; one needs linnet-no-such-compiler, which is not installed"
	if !errors.As(err, &hint) || err.Error() != want || hint.hint != "apt-get install libc-cross cross-gcc" {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestPrefixOfAnotherArchitecture(t *testing.T) {
	for arch, want := range map[string]string{runtime.GOARCH: "libexec/linnet", foreign(): "libexec/linnet-" + foreign()} {
		if got := (options{arch: arch}).defaultPrefix("."); got != filepath.FromSlash(want) {
			t.Errorf("%s: %s, want %s", arch, got, want)
		}
	}
}

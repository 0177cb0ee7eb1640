package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// lab is a release of two archives on a server of its own, and a machine that install.sh runs on.
type lab struct {
	server *httptest.Server
	script string
	files  map[string][]byte // what the server has
	cut    bool              // it ends in the middle of a file
	bin    string            // the machine's PATH
	home   string
	mu     sync.Mutex // the server's turn, or the test's
}

const labArchive = "linnet-1.2.3-linux-amd64.tar.gz"

func newLab(t *testing.T, fetcher string) *lab {
	t.Helper()
	l := &lab{files: map[string][]byte{}, bin: t.TempDir(), home: t.TempDir()}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		text, ok := l.files[strings.TrimPrefix(r.URL.Path, "/")]
		switch {
		case !ok:
			http.NotFound(w, r)
		case l.cut:
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = w.Write(text[:len(text)/2]) // then the server closes the connection
		default:
			_, _ = w.Write(text)
		}
	}))
	t.Cleanup(l.server.Close)
	l.script = l.release(t, "1.2.3", map[string]string{"bin/linnet": "linnet 1.2.3\n", "libexec/linnet/bin/old": "old\n"})
	for _, tool := range []string{fetcher, "tar", "gzip", "sha256sum", "mktemp", "rm", "mkdir", "mv", "cp", "grep", "dirname"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatalf("the test needs %s: %v", tool, err)
		}
		if err := os.Symlink(path, filepath.Join(l.bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	l.machine(t, "Linux", "x86_64")
	l.fake(t, "id", "echo 1000")
	return l
}

// release puts archives of a version on the server, and returns the script that installs it.
func (l *lab) release(t *testing.T, version string, files map[string]string) string {
	t.Helper()
	p := published{Name: version, URL: l.server.URL, Home: home}
	for _, target := range []target{{"linux", "amd64"}, {"darwin", "arm64"}} {
		stage := t.TempDir()
		for name, text := range files {
			write(t, filepath.Join(stage, name), text, 0o755)
		}
		write(t, filepath.Join(stage, "share", "for"), target.String()+"\n", 0o644)
		if err := writeList(stage); err != nil {
			t.Fatal(err)
		}
		name := "linnet-" + version + "-" + target.String() + ".tar.gz"
		archive := filepath.Join(t.TempDir(), name)
		if err := writeArchive(archive, stage, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		l.files[name] = text
		p.Archives = append(p.Archives, archived{target, name, hexDigest(text)})
	}
	script := filepath.Join(t.TempDir(), "install.sh")
	if err := renderFile(filepath.Join("..", "install.sh.tmpl"), script, 0o755, p); err != nil {
		t.Fatal(err)
	}
	return script
}

func hexDigest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// fake puts a program of a few words of shell into the machine's PATH.
func (l *lab) fake(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(l.bin, name)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	write(t, path, "#!/bin/sh\n"+text+"\n", 0o755)
}

func (l *lab) machine(t *testing.T, system, processor string) {
	l.fake(t, "uname", `case $1 in -s) echo `+system+` ;; -m) echo `+processor+` ;; esac`)
}

// run runs the script with a shell, and returns its exit code and what it said, with the server's address as URL.
func (l *lab) run(t *testing.T, shell string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(shell, append([]string{l.script}, args...)...)
	cmd.Dir = l.home
	cmd.Env = []string{"PATH=" + l.bin, "HOME=" + l.home, "TMPDIR=" + t.TempDir()}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	l.mu.Lock()   // what the test has changed is there for the server
	l.mu.Unlock() //nolint:staticcheck // nothing else is meant
	err := cmd.Run()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, exited := err.(*exec.ExitError); err != nil && !exited { //nolint:errorlint // Run returns it as it is
		t.Fatal(err)
	}
	if out.Len() > 0 {
		t.Errorf("standard output: %q", out.String())
	}
	left, err := os.ReadDir(strings.TrimPrefix(cmd.Env[2], "TMPDIR="))
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v in TMPDIR, %v", left, err)
	}
	return cmd.ProcessState.ExitCode(), strings.NewReplacer(l.server.URL, "URL", l.home, "HOME").Replace(errs.String())
}

// installed are the files below HOME.
func (l *lab) installed(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(l.home, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, strings.TrimPrefix(path, l.home+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// everywhere runs a test with each shell and each program that fetches, whichever of dash, bash, curl and wget there are.
func everywhere(t *testing.T, test func(t *testing.T, shell string, l *lab)) {
	t.Helper()
	for _, shell := range []string{"dash", "bash", "sh"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		for _, fetcher := range []string{"curl", "wget"} {
			if _, err := exec.LookPath(fetcher); err != nil && fetcher == "wget" {
				continue
			}
			t.Run(shell+" "+fetcher, func(t *testing.T) { test(t, path, newLab(t, fetcher)) })
		}
	}
}

func TestInstallPutsTheArchiveIntoItsPrefix(t *testing.T) {
	everywhere(t, func(t *testing.T, shell string, l *lab) {
		code, said := l.run(t, shell)
		const want = `linnet: fetching URL/linnet-1.2.3-linux-amd64.tar.gz
linnet: 1.2.3 is installed: HOME/.local/bin/linnet
hint: add HOME/.local/bin to your PATH
hint: HOME/.local/bin/linnet uninstall removes it, and what it keeps
`
		if code != 0 || said != want {
			t.Errorf("exit code %d, %s", code, said)
		}
		files := []string{".local/bin/linnet", ".local/libexec/linnet/bin/old", ".local/libexec/linnet/files", ".local/share/for"}
		if have := l.installed(t); !slices.Equal(have, files) {
			t.Errorf("installed are %q, want %q", have, files)
		}
		if info, err := os.Stat(filepath.Join(l.home, ".local/bin/linnet")); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("bin/linnet: %v, %v", info, err)
		}
	})
}

func TestInstallReplacesAnotherVersion(t *testing.T) {
	everywhere(t, func(t *testing.T, shell string, l *lab) {
		dir := filepath.Join(l.home, "a prefix")
		if code, said := l.run(t, shell, "--prefix", dir); code != 0 {
			t.Fatal(said)
		}
		write(t, filepath.Join(dir, "bin", "another"), "not linnet's", 0o755)
		write(t, filepath.Join(dir, "libexec/linnet/image/x86_64/disk.raw"), "not the archive's", 0o644)
		l.script = l.release(t, "1.3.0", map[string]string{"bin/linnet": "linnet 1.3.0\n", "libexec/linnet/bin/new": "new\n"})
		if code, said := l.run(t, shell, "--prefix=a prefix"); code != 0 {
			t.Fatal(said)
		}
		want := []string{"bin/another", "bin/linnet", "libexec/linnet/bin/new", "libexec/linnet/files", "libexec/linnet/image/x86_64/disk.raw", "share/for"}
		for i := range want {
			want[i] = "a prefix/" + want[i]
		}
		if have := l.installed(t); !slices.Equal(have, want) {
			t.Errorf("installed are %q, want %q", have, want)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "bin/linnet")); err != nil || string(text) != "linnet 1.3.0\n" {
			t.Errorf("bin/linnet is %q, %v", text, err)
		}
	})
}

func TestInstallChoosesTheArchiveOfTheMachine(t *testing.T) {
	l := newLab(t, "curl")
	for _, m := range []struct{ system, processor, rosetta, want string }{
		{"Linux", "x86_64", "", "linux-amd64"},
		{"Linux", "amd64", "", "linux-amd64"},
		{"Darwin", "arm64", "echo 0", "darwin-arm64"},
		{"Darwin", "x86_64", "echo 1", "darwin-arm64"},
	} {
		l.machine(t, m.system, m.processor)
		l.fake(t, "sysctl", m.rosetta)
		if code, said := l.run(t, "/bin/sh"); code != 0 {
			t.Error(said)
		}
		if text, err := os.ReadFile(filepath.Join(l.home, ".local/share/for")); err != nil || string(text) != m.want+"\n" {
			t.Errorf("%v: the archive is %q, %v", m, text, err)
		}
	}
}

// Whatever goes wrong on the way, nothing is installed, and one line says what, another what to do.
func TestInstallRefuses(t *testing.T) {
	false := []byte("another archive")
	for name, c := range map[string]struct {
		prepare func(t *testing.T, l *lab)
		args    []string
		want    string
	}{
		"a false file": {
			prepare: func(_ *testing.T, l *lab) { l.files[labArchive] = false },
			want:    labArchive + " is not what was released: its SHA-256 is " + hexDigest(false) + ", and ",
		},
		"a false file with its digest beside it": {
			prepare: func(_ *testing.T, l *lab) {
				l.files[labArchive] = false
				l.files[sumsName] = []byte(hexDigest(false) + "  " + labArchive + "\n")
			},
			want: labArchive + " is not what was released: its SHA-256 is " + hexDigest(false) + ", and ",
		},
		"a file that is cut":   {prepare: func(_ *testing.T, l *lab) { l.cut = true }, want: "URL/" + labArchive + " could not be fetched\nhint: see the network"},
		"a file that is gone":  {prepare: func(_ *testing.T, l *lab) { delete(l.files, labArchive) }, want: "URL/" + labArchive + " could not be fetched\nhint: see the network"},
		"another system":       {prepare: func(t *testing.T, l *lab) { l.machine(t, "FreeBSD", "amd64") }, want: "linnet: linnet does not run on FreeBSD\nhint: it runs on Linux and macOS\n"},
		"another processor":    {prepare: func(t *testing.T, l *lab) { l.machine(t, "Linux", "riscv64") }, want: "linnet: linnet does not run on the processor riscv64\nhint: it runs on x86_64 and arm64\n"},
		"none of the archives": {prepare: func(t *testing.T, l *lab) { l.machine(t, "Linux", "aarch64") }, want: "linnet: linnet 1.2.3 has no archive for linux-arm64\nhint: from source: " + home + "\n"},
		"an unknown argument":  {args: []string{"--prefx", "x"}, want: "linnet: unknown argument --prefx\nhint: sh install.sh [--prefix DIR]\n"},
		"no directory":         {args: []string{"--prefix"}, want: "linnet: --prefix: a directory has to follow\nhint: sh install.sh --prefix ~/.local\n"},
		"nothing that fetches": {
			prepare: func(t *testing.T, l *lab) { remove(t, l, "curl", "wget") },
			want:    "linnet: neither curl nor wget is installed\nhint: install one of them, or unpack the archive below a prefix: " + home + "/releases\n",
		},
		"nothing that verifies": {
			prepare: func(t *testing.T, l *lab) { remove(t, l, "sha256sum") },
			want:    "linnet: neither sha256sum nor shasum is installed, and the archive has to be verified\nhint: install one of them\n",
		},
		"a prefix that is a file":       {args: []string{"--prefix", "/dev/null"}, want: "linnet: /dev/null cannot be made\nhint: name another with --prefix, or run this as root\n"},
		"a prefix that cannot be there": {args: []string{"--prefix", "/dev/null/x"}, want: "linnet: /dev/null/x cannot be made\nhint: name another with --prefix, or run this as root\n"},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, shell string, l *lab) {
				if c.prepare != nil {
					c.prepare(t, l)
				}
				code, said := l.run(t, shell, c.args...)
				if code != 1 || !strings.Contains(said, c.want) || strings.Count(said, "hint: ") != 1 {
					t.Errorf("exit code %d, it said\n%s\nwant\n%s", code, said, c.want)
				}
				if have := l.installed(t); len(have) > 0 {
					t.Errorf("installed are %q", have)
				}
			})
		})
	}
}

func remove(t *testing.T, l *lab, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(l.bin, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// A script that was cut while it was fetched does nothing, wherever it was cut.
func TestInstallDoesNothingWhereItIsCut(t *testing.T) {
	l := newLab(t, "curl")
	text, err := os.ReadFile(l.script)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(text, []byte("\nmain ")) + 1
	for at := 20; at < last; at += 97 {
		write(t, l.script, string(text[:at]), 0o755)
		_, said := l.run(t, "/bin/sh")
		if have := l.installed(t); len(have) > 0 || strings.Contains(said, "fetching") {
			t.Fatalf("cut at %d, it installed %q and said %s", at, have, said)
		}
	}
}

// output runs a program and returns all that it says.
func output(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	return string(out), err
}

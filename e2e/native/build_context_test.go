//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// epoch is what the times of reproducible builds are cut to: files are older.
var epoch = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)

// digestBy builds a context without any cache and returns the digest of the result, which times do
// not change, or the last line of what was said when it failed.
func digestBy(t *testing.T, cmd *exec.Cmd) (digest, failure string) {
	t.Helper()
	metadata := filepath.Join(t.TempDir(), "metadata.json")
	cmd.Args = append(cmd.Args, "--metadata-file", metadata)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return "", lines[len(lines)-1]
	}
	text, err := os.ReadFile(metadata)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Digest string `json:"containerimage.digest"`
	}
	if err := json.Unmarshal(text, &all); err != nil || all.Digest == "" {
		t.Fatalf("%v\n%s", err, text)
	}
	return all.Digest, ""
}

// reproducible is the output whose digest is asked for.
func reproducible(t *testing.T) string {
	return "type=oci,rewrite-timestamp=true,dest=" + filepath.Join(t.TempDir(), "out.tar")
}

func byLinnet(ctx context.Context, t *testing.T, e *lab.Engine, dir string) *exec.Cmd {
	return e.Command(ctx, "build", "--progress=plain", "--no-cache", "--provenance=false", "--build-arg", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch.Unix()),
		"--output", reproducible(t), dir)
}

func byBuildctl(ctx context.Context, t *testing.T, e *lab.Engine, dir string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(lab.Root(), "libexec", "linnet", "bin", "buildctl"),
		"--addr", "unix://"+filepath.Join(e.Home, "native", "run", "buildkitd.sock"), "build", "--progress=plain", "--no-cache",
		"--frontend", "dockerfile.v0", "--local", "context="+dir, "--local", "dockerfile="+dir,
		"--opt", fmt.Sprintf("build-arg:SOURCE_DATE_EPOCH=%d", epoch.Unix()), "--output", reproducible(t))
	cmd.Env = e.Environ()
	return cmd
}

// sameDigest builds a context with linnet and with buildctl, on the same engine.
func sameDigest(t *testing.T, e *lab.Engine, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	start := time.Now()
	want, failure := digestBy(t, byBuildctl(ctx, t, e, dir))
	theirs := time.Since(start)
	if failure != "" {
		t.Fatalf("buildctl: %s", failure)
	}
	got, failure := digestBy(t, byLinnet(ctx, t, e, dir))
	if failure != "" {
		t.Fatalf("linnet: %s", failure)
	}
	if got != want {
		t.Errorf("linnet's result is %s, buildctl's %s", got, want)
	}
	t.Logf("buildctl in %v, linnet in %v", theirs, time.Since(start)-theirs)
}

// strange fills a directory with everything that a file system may hold and an image can.
func strange(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return dir + "/" + name }
	for i, name := range []string{
		"plain", "with space", " leading and trailing ", "-dash", "--help", "new\nline", "tab\tand\rreturn", `back\slash`, `"quotes"'`, "$HOME $(id) `id`",
		"*?[a-z]{b}", "#comment", "!bang", "~", "ünï", "日本語", "e\u0301 is not \u00e9", strings.Repeat("n", 255), "...", "\x01control\x7f", "😀", "%2e%2e", "a=b,c:d", "caf\xe9", "\xff\xfe",
	} {
		must(os.WriteFile(in(name), fmt.Append(nil, name, i), 0o600+fs.FileMode(i%8)))
		must(os.Chtimes(in(name), time.Time{}, epoch.Add(-time.Duration(i)*time.Hour-time.Duration(i)*time.Nanosecond)))
	}
	must(os.MkdirAll(in(strings.Repeat("deep/", 100)), 0o755))
	must(os.WriteFile(in(strings.Repeat("deep/", 100)+"file"), nil, 0o644))
	must(os.Mkdir(in("empty directory"), 0o711))
	for name, target := range map[string]string{
		"relative": "plain", "absolute": "/etc/passwd", "dangling": "nowhere", "loop": "loop", "above": "../../../x", "to directory": "empty directory", "odd target": "new\nline \x01 \xff",
	} {
		must(os.Symlink(target, in("link "+name)))
	}
	must(os.Link(in("plain"), in("hard one")))
	must(os.Link(in("plain"), in("empty directory/hard two")))
	for name, mode := range map[string]uint32{"setuid": 0o4755, "setgid": 0o2755, "sticky": 0o1777, "nothing allowed": 0} {
		must(os.WriteFile(in(name), []byte(name), 0o644))
		must(unix.Chmod(in(name), mode))
	}
	must(os.WriteFile(in("another's"), nil, 0o644))
	must(os.Chown(in("another's"), 1234, 4321))
	must(os.WriteFile(in("old"), nil, 0o644))
	must(os.Chtimes(in("old"), time.Time{}, time.Unix(-1000000, 0)))
	must(os.WriteFile(in("attributes"), nil, 0o644))
	must(unix.Setxattr(in("attributes"), "user.note", []byte("x\x00y"), 0))
	sparse, err := os.Create(in("sparse"))
	must(err)
	_, err = sparse.WriteAt([]byte("end"), 16<<20)
	must(err)
	must(sparse.Close())
	must(unix.Mkfifo(in("pipe"), 0o644))
	must(unix.Mknod(in("socket"), unix.S_IFSOCK|0o644, 0))
	must(unix.Mknod(in("device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))) //nolint:gosec // a small number
}

// What is strange in a context arrives as it is, that is, as with buildctl on the same engine.
func TestStrangeContexts(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	e.Busybox(t)
	dir := project(t, "FROM scratch\nCOPY . /\n")
	strange(t, dir)
	sameDigest(t, e, dir)
	for name, ignore := range map[string]string{
		"everything but":  "*\n!with space\n!deep\n",
		"patterns":        "# none\nplain\n**/deep/deep/deep/deep/file\nlink*\n[a-z]ff\nemp?y*/hard*\n",
		"exceptions":      "empty*\n!empty directory/hard two\n!**/nothing\n",
		"strange patters": "\n/\n./-dash\n  --help  \n日本語\n😀\n\\!bang\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte(ignore), 0o644); err != nil {
				t.Fatal(err)
			}
			sameDigest(t, e, dir)
		})
	}
}

// What may not be read is an error that names it. With buildctl a file arrives empty.
func TestContextsThatMayNotBeRead(t *testing.T) {
	e := lab.Shared(t)
	e.Busybox(t)
	const hint = "hint: what a build does not need can be listed in .dockerignore, and is not read then\n"
	for _, c := range []struct {
		name, want string
		spoil      func(path string) error
	}{
		{
			"an unreadable file", "linnet: reading the build context: sub/closed: permission denied\n" + hint,
			func(path string) error { return os.WriteFile(path, []byte("x"), 0) },
		},
		{
			"an unreadable directory", "linnet: building: reading the build context: DIR/sub/closed: permission denied\n" + hint,
			func(path string) error { return os.Mkdir(path, 0) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := project(t, "FROM scratch\nCOPY . /\n")
			path := filepath.Join(dir, "sub", "closed")
			if err := errorsOf(os.Mkdir(filepath.Dir(path), 0o755), c.spoil(path), os.Chown(path, 1, 1)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
			defer cancel()
			build := func() (said string, code int) {
				cmd := mortal(ctx, byLinnet(ctx, t, e, dir))
				out, err := cmd.CombinedOutput()
				if cmd.ProcessState == nil {
					t.Fatal(err)
				}
				return string(out), cmd.ProcessState.ExitCode()
			}
			if said, code := build(); code != 1 || !strings.HasSuffix(said, strings.ReplaceAll(c.want, "DIR", dir)) {
				t.Errorf("exit code %d\n%s\nwant\n%s", code, said, c.want)
			}
			if err := os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte("**/closed\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if said, code := build(); code != 0 {
				t.Errorf("ignored: exit code %d\n%s", code, said)
			}
		})
	}
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// mortal is a command of a root who may not read what is not his.
func mortal(ctx context.Context, cmd *exec.Cmd) *exec.Cmd {
	m := exec.CommandContext(ctx, "setpriv", append([]string{"--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"}, cmd.Args...)...)
	m.Args[3] = cmd.Path
	m.Env = cmd.Env
	return m
}

// A file that changes while it is sent arrives as it was at some time, and once it no longer
// changes the next build has it as it is: nothing torn stays in a cache. A file that goes is no
// reason to hang.
func TestAContextThatChanges(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	base := e.Busybox(t)
	dir := project(t, "FROM "+base+"\nCOPY . /c\nRUN test -f /c/last && sha256sum </c/file >/sum\n")
	if err := os.WriteFile(filepath.Join(dir, "last"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			text := bytes.Repeat(fmt.Appendf(nil, "%07d\n", i), 1<<17*(i%5)) // up to 4 MiB
			if err := os.WriteFile(file, text, 0o644); err != nil {
				stopped <- err
				return
			}
			fleeting := filepath.Join(dir, fmt.Sprint("fleeting-", i))
			if err := errorsOf(os.WriteFile(fleeting, text[:min(8, len(text))], 0o644), os.Remove(fleeting)); err != nil {
				stopped <- err
				return
			}
		}
	}()
	for range 10 {
		if r := e.Run(t, "build", "--progress=plain", "-t", "restless", dir); r.Code != 0 {
			t.Errorf("exit code %d\n%s", r.Code, r.Err)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e.Must(t, "build", "-q", "-t", "restless", dir)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(digest(string(text))[len("sha256:"):], " ")
		if got := e.Must(t, "run", "--rm", "--network=none", "restless", "cat", "/sum"); !strings.HasPrefix(got, want) {
			t.Errorf("the image has %s, the file is %s", got, want)
		}
		// As long and as old as before, and another.
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := errorsOf(os.WriteFile(file, append(text, "one more\n"...), 0o644), os.Chtimes(file, time.Time{}, info.ModTime())); err != nil {
			t.Fatal(err)
		}
	}
}

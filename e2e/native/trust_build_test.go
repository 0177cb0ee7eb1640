//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// otherUser is a user of this host that has no name, and owns nothing else.
const otherUser = 61234

// theirs makes a directory that otherUser writes, beside one that root alone can read, with a line in it that must be
// nowhere else.
func theirs(t *testing.T) (dir, secret string) {
	t.Helper()
	top, err := os.MkdirTemp("/tmp", "theirs-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	dir, secret = filepath.Join(top, "dir"), filepath.Join(top, "secret")
	for _, err := range []error{
		os.Chmod(top, 0o755), os.Mkdir(dir, 0o755), os.Mkdir(secret, 0o700),
		os.WriteFile(filepath.Join(secret, "file"), []byte(theSecret+":19000:0:99999:7:::\n"), 0o600), os.Chown(dir, otherUser, otherUser),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir, secret
}

const theSecret = "root:$6$no-other-may-see-this"

// asOtherUser runs a function on a thread that has otherUser's rights, until stop is called.
func asOtherUser(t *testing.T, run func(stopped <-chan struct{}) error) (stop func()) {
	t.Helper()
	end, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
			if _, _, errno := unix.RawSyscall(call, otherUser, otherUser, otherUser); errno != 0 {
				ended <- errno
				return
			}
		}
		ended <- run(end)
	}()
	return func() {
		close(end)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// rounds is how often a race is run: it is lost in the first or second where it can be lost.
const rounds = 6

// The user who writes a context puts links in the place of its directories while it is read, all the time: nothing from
// outside gets into the image. The build fails and says so, or has what was there.
func TestAContextThatAnotherUserWrites(t *testing.T) {
	e := lab.Shared(t)
	e.Busybox(t)
	dir, secret := theirs(t)
	const directories = 8
	stop := asOtherUser(t, func(stopped <-chan struct{}) error {
		var pairs [][2]string
		for i := range directories {
			in, out := filepath.Join(dir, fmt.Sprint("d", i)), filepath.Join(dir, ".swap", fmt.Sprint("l", i))
			if err := errorsOf(os.MkdirAll(in, 0o755), os.MkdirAll(filepath.Dir(out), 0o755), os.Symlink(secret, out)); err != nil {
				return err
			}
			for j := range 20 {
				if err := os.WriteFile(filepath.Join(in, fmt.Sprint("file", j)), []byte("mine"), 0o644); err != nil {
					return err
				}
			}
			if err := os.WriteFile(filepath.Join(in, "file"), []byte("mine"), 0o644); err != nil {
				return err
			}
			pairs = append(pairs, [2]string{in, out})
		}
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY . /\n"), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte(".swap\n"), 0o644); err != nil {
			return err
		}
		for {
			select {
			case <-stopped:
				return nil
			default:
			}
			for _, p := range pairs {
				if err := unix.Renameat2(unix.AT_FDCWD, p[0], unix.AT_FDCWD, p[1], unix.RENAME_EXCHANGE); err != nil {
					return err
				}
			}
		}
	})
	defer stop()
	lab.Eventually(t, "the context", func() bool {
		_, err := os.Stat(filepath.Join(dir, ".dockerignore"))
		return err == nil
	})
	for i := range rounds {
		out := t.TempDir()
		r := e.Run(t, "build", "--progress=plain", "--no-cache", "--output", out, dir)
		if r.Code != 0 && !strings.Contains(r.Err, "something else took its place while it was read") {
			t.Errorf("round %d: exit code %d\n%s", i, r.Code, r.Err)
		}
		if found := holding(t, out, theSecret); found != "" || strings.Contains(r.Err, theSecret) {
			t.Fatalf("round %d: %s holds a file that is not in the context\n%s", i, found, r.Err)
		}
	}
}

// holding is the first file below a directory that holds a text.
func holding(t *testing.T, dir, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		have, err := os.ReadFile(path)
		if bytes.Contains(have, []byte(text)) {
			found = path
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return found
}

// A Dockerfile that leads out of a directory that another user writes is not read, and so no message shows a line of
// it. What leads to a file of the same directory is.
func TestADockerfileThatIsALink(t *testing.T) {
	e := lab.Shared(t)
	dir, secret := theirs(t)
	file := filepath.Join(dir, "Dockerfile")
	link := func(target string) {
		t.Helper()
		if err := errorsOf(os.RemoveAll(file), os.Symlink(target, file), os.Lchown(file, otherUser, otherUser)); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(secret, "file"))
	for _, args := range [][]string{{dir}, {"-f", file, dir}, {"--check", dir}, {"-f", file, secret}} {
		r := e.Run(t, append([]string{"build", "--progress=plain", "--output=type=cacheonly"}, args...)...)
		const want = "it is a link that leads out of its directory, and others may write there\nhint: name the file that is meant: -f "
		if r.Code == 0 || strings.Contains(r.Out+r.Err, "root:") || !strings.Contains(r.Err, want) {
			t.Errorf("%q: exit code %d\n%s%s", args, r.Code, r.Out, r.Err)
		}
	}
	if err := errorsOf(os.Mkdir(filepath.Join(dir, "sub"), 0o755), os.WriteFile(filepath.Join(dir, "sub", "real"), []byte("FROM scratch\nCOPY sub/real /\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"sub/real", "/sub/real"} {
		link(target)
		e.Must(t, "build", "-q", "--output=type=cacheonly", dir)
	}
}

// What is in .dockerignore cannot hold a build up: it is refused soon, by its size or by what matching it takes.
func TestAHostileDockerignore(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	e.Busybox(t) // the engine runs
	dir := project(t, "FROM scratch\nCOPY . /\n")
	for i := range 2000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(strings.Repeat("ab", 60), i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"slow":  {strings.Repeat("**/"+strings.Repeat("*a*b", 30)+"c\n", 1500), "reading the build context: its 1500 patterns take too long to match"},
		"large": {strings.Repeat("some/file/that/is/not/there\n", 40000), ".dockerignore: it has more than 256 KiB"},
	} {
		if err := os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
		begun := time.Now()
		out, err := e.Command(ctx, "build", "--progress=plain", "--output=type=cacheonly", dir).CombinedOutput()
		took := time.Since(begun)
		cancel()
		if err == nil || !strings.Contains(string(out), c.want) || took > 30*time.Second {
			t.Errorf("%s: %v after %v\n%s", name, err, took, out)
		}
		t.Logf("%s: refused after %v", name, took)
	}
}

// What a build shows has nothing in it that steers the terminal; what steps print keeps its colours.
func TestABuildSteersNoTerminal(t *testing.T) {
	e := lab.Shared(t)
	base := e.Busybox(t)
	const title = "\x1b]0;title\x07"
	dir := project(t, "FROM "+base+"\nRUN printf '\\033[31mred\\033[0m "+`\033]0;title\007\033[2J`+"'; : "+title+"\nRUN exit 1 "+title+"\n")
	r := e.Run(t, "build", "--progress=plain", "--no-cache", "--output=type=cacheonly", dir)
	if r.Code == 0 || !strings.Contains(r.Err, "\x1b[31mred\x1b[0m") || !strings.Contains(r.Err, `\x1b]0;title\x07`) {
		t.Errorf("exit code %d\n%q", r.Code, r.Err)
	}
	left := strings.NewReplacer("\x1b[31m", "", "\x1b[0m", "").Replace(r.Err)
	if strings.ContainsAny(left, "\x1b\a") {
		t.Errorf("it says %q", left)
	}
	dir = project(t, "FROM scratch\nCOPY --link file / "+title+"\n")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := e.Command(ctx, "build", "--progress=tty", "--output=type=cacheonly", dir)
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	drawn, _ := io.ReadAll(terminal) // it ends with EIO
	_ = cmd.Wait()                   // there is no file of the title's name
	if !bytes.Contains(drawn, []byte(`\x1b]0;title`)) || bytes.ContainsAny(drawn, "\a") {
		t.Errorf("a terminal gets %q", drawn)
	}
}

// A result in a directory of this host has nothing that gives rights on it, and says so; an archive is as it is.
func TestAResultGivesNoRights(t *testing.T) {
	e := lab.Shared(t)
	base := e.Busybox(t)
	dir := project(t, "FROM "+base+" AS b\nRUN mkdir /o && cp /bin/busybox /o/program && chmod 6755 /o/program && mknod /o/device c 1 3 && echo x >/o/plain\nFROM scratch\nCOPY --from=b /o /\n")
	out := t.TempDir()
	r := e.Run(t, "build", "--progress=plain", "--output", out, dir)
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Err)
	}
	info, err := os.Stat(filepath.Join(out, "program"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(out, "plain")); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(out, "device")); err == nil {
		t.Error("there is a device")
	}
	for _, want := range []string{"linnet: dropped the setuid and setgid bits of 1 file: program\n", "linnet: left out 1 file that is a device or pipe: device\n"} {
		if !strings.Contains(r.Err, want) {
			t.Errorf("it does not say %q\n%s", want, r.Err)
		}
	}
	archive := e.Must(t, "build", "-q", "--output", "type=tar,dest=-", dir)
	if !strings.Contains(archive, "0006755") {
		t.Error("the archive has no setuid program")
	}
}

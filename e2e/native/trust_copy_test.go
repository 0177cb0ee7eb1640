//go:build e2e && linux

package native_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// copying is a container to copy from and to, which has programs of root's, a device, and names that look like options.
func copying(t *testing.T, e *lab.Engine) string {
	t.Helper()
	const script = "mkdir -p /o/sub '/--files-from=list' && cp /bin/busybox /o/program && chmod 6755 /o/program && mknod /o/device c 1 3 && " +
		"echo x >/o/sub/plain && echo /etc/shadow >/list && echo inside >'/--files-from=list/in' && echo file >/-x && ln -s '/--files-from=list' /link && exec sleep 1d"
	id := e.Must(t, "run", "-d", "--network=none", e.Busybox(t), "sh", "-c", script)
	t.Cleanup(func() { e.Run(t, "rm", "-f", id) })
	lab.Eventually(t, "the container's files", func() bool { return e.Run(t, "exec", id, "test", "-L", "/link").Code == 0 })
	return id
}

// No name is an option: of a directory of this host, of one of the container, or of one that a link there leads to.
func TestCopyTakesNoNameForAnOption(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	id := copying(t, e)
	shadow, err := os.ReadFile("/etc/shadow")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	option := filepath.Join(dir, "--files-from=list")
	if err := errorsOf(os.Mkdir(option, 0o755), os.WriteFile(filepath.Join(option, "in"), []byte("inside\n"), 0o644), os.WriteFile(filepath.Join(dir, "list"), []byte("/etc/shadow\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	e.Run(t, "cp", option, id+":/tmp")
	if got := e.Run(t, "exec", id, "cat", "/tmp/--files-from=list/in").Out; got != "inside\n" {
		t.Errorf("the container has %q", got)
	}
	if got := e.Run(t, "exec", id, "cat", "/tmp/etc/shadow"); got.Code == 0 {
		t.Error("the container has /etc/shadow")
	}
	for _, from := range []string{"/--files-from=list", "/link"} { // the copy is called as it was typed
		to := t.TempDir()
		r := e.Run(t, "cp", id+":"+from, to)
		got, err := os.ReadFile(filepath.Join(to, from, "in"))
		if r.Code != 0 || string(got) != "inside\n" {
			t.Errorf("%s: exit code %d, %q, %v\n%s", from, r.Code, got, err, r.Err)
		}
		if found := holding(t, to, strings.TrimSpace(string(shadow))); found != "" {
			t.Errorf("%s: /etc/shadow is in %s", from, found)
		}
	}
	// From the directory that it is in, a name is a word of the command line.
	cmd := e.Command(t.Context(), "cp", "--", "-x", id+":/tmp/y")
	cmd.Dir = dir
	if err := os.WriteFile(filepath.Join(dir, "-x"), []byte("file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil || e.Must(t, "exec", id, "cat", "/tmp/y") != "file" {
		t.Errorf("%v\n%s", err, out)
	}
	t.Run("Unmended", func(t *testing.T) {
		e := lab.New(t)
		e.Env = append(e.Env, lab.Unmended(t, "nerdctl", "copied-names"))
		id := copying(t, e)
		e.Run(t, "cp", option, id+":/tmp")
		if got := e.Run(t, "exec", id, "cat", "/tmp/--files-from=list/in").Out; got == "inside\n" {
			t.Error("without the mend nothing is seen")
		}
	})
}

// What comes out of a container gives no user rights on this host, and says so; an archive is as it is.
func TestACopyGivesNoRights(t *testing.T) {
	e := lab.Shared(t)
	id := copying(t, e)
	to := filepath.Join(t.TempDir(), "new")
	r := e.Run(t, "cp", id+":/o", to)
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Err)
	}
	info, err := os.Stat(filepath.Join(to, "program"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "sub", "plain")); err != nil || string(text) != "x\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(to, "device")); err == nil {
		t.Error("there is a device")
	}
	want := "linnet: dropped the setuid and setgid bits of 1 file: " + to + "/program\nlinnet: left out 1 file that is a device or pipe: " + to + "/device\n"
	if r.Err != want {
		t.Errorf("it says %q, want %q", r.Err, want)
	}
	if archive := e.Must(t, "cp", id+":/o", "-"); !strings.Contains(archive, "0006755") {
		t.Error("the archive has no setuid program")
	}
	// Out of a service's container, too.
	project := t.TempDir()
	compose := "name: copying\nservices: {a: {image: " + e.Busybox(t) + ", network_mode: none, command: [sh, -c, 'cp /bin/busybox /p && chmod 4755 /p && exec sleep 1d']}}\n"
	if err := os.WriteFile(filepath.Join(project, "compose.yaml"), []byte(compose), 0o644); err != nil {
		t.Fatal(err)
	}
	of := []string{"compose", "--project-directory", project, "-f", filepath.Join(project, "compose.yaml")}
	t.Cleanup(func() {
		e.Must(t, "rm", "-f", "copying-a-1") // sooner than a stop
		e.Must(t, append(of, "down")...)
	})
	e.Must(t, append(of, "up", "-d")...)
	lab.Eventually(t, "the service's file", func() bool { return e.Run(t, append(of, "exec", "-T", "a", "test", "-u", "/p")...).Code == 0 })
	r = e.Run(t, append(of, "cp", "a:/p", project)...)
	info, err = os.Stat(filepath.Join(project, "p"))
	if r.Code != 0 || err != nil || info.Mode() != 0o755 || !strings.Contains(r.Err, "dropped the setuid and setgid bits of 1 file: "+project+"/p") {
		t.Errorf("compose cp: exit code %d, %v, %v\n%s", r.Code, info, err, r.Err)
	}
	// A file, in the place of one, and into what is not there.
	file := filepath.Join(t.TempDir(), "file")
	for range 2 {
		e.Must(t, "cp", id+":/o/sub/plain", file)
		if text, err := os.ReadFile(file); err != nil || string(text) != "x\n" {
			t.Errorf("%q, %v", text, err)
		}
	}
	for typed, want := range map[string]string{
		file:                     "linnet: writing " + file + ": a directory cannot be copied onto a file\n",
		filepath.Join(file, "x"): "linnet: writing ",
	} {
		if r := e.Run(t, "cp", id+":/o", typed); r.Code == 0 || !strings.HasPrefix(r.Err, want) {
			t.Errorf("%s: exit code %d, %q", typed, r.Code, r.Err)
		}
	}
	if r := e.Run(t, "cp", id+":/gone", t.TempDir()); r.Code == 0 || !strings.Contains(r.Err, "does not exist") {
		t.Errorf("exit code %d, %q", r.Code, r.Err)
	}
}

// A container's root comes as what is in it, and never as a link to this host's: of one that runs and of one that does not, into a
// directory that is there and as a new one.
func TestCopyOfAContainersRoot(t *testing.T) {
	e := lab.Shared(t)
	id := e.Must(t, "create", "--network=none", e.Busybox(t), "sh", "-c", "mkdir /o && echo x >/o/f && ln -s o /link && ln -s / /whole && ln /o/f /hard && touch /ready && exec sleep 1d")
	t.Cleanup(func() { e.Run(t, "rm", "-f", id) })
	copied := func(state, mark string) {
		t.Helper()
		for _, to := range []string{t.TempDir(), filepath.Join(t.TempDir(), "new")} {
			r := e.Run(t, "cp", id+":/", to)
			info, err := os.Lstat(to)
			if r.Code != 0 || err != nil || !info.IsDir() {
				t.Fatalf("%s: %s: exit code %d, %v, %v\n%s", state, to, r.Code, info, err, r.Err)
			}
			if _, err := os.Lstat(filepath.Join(to, mark)); err != nil {
				t.Errorf("%s: %v", state, err)
			}
			if left, _ := os.ReadDir(filepath.Join(to, "proc")); len(left) > 0 {
				t.Errorf("%s: %s has files of the kernel's: %v", state, to, left)
			}
		}
	}
	copied("created", "bin/busybox")
	e.Must(t, "start", id)
	lab.Eventually(t, "the container's files", func() bool { return e.Run(t, "exec", id, "test", "-e", "/ready").Code == 0 })
	copied("running", "o/f")
	// A link of the container's comes as what it leads to; one that leads to the root is told.
	to := filepath.Join(t.TempDir(), "new")
	e.Must(t, "cp", id+":/link", to)
	if text, err := os.ReadFile(filepath.Join(to, "f")); err != nil || string(text) != "x\n" {
		t.Errorf("%q, %v", text, err)
	}
	to = filepath.Join(t.TempDir(), "new")
	r := e.Run(t, "cp", id+":/whole", to)
	if _, err := os.Lstat(to); err == nil || r.Code == 0 || !strings.Contains(r.Err, "add /. to the container's path") {
		t.Errorf("exit code %d, %v\n%s", r.Code, err, r.Err)
	}
	// What is neither a file nor a directory stays.
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	r = e.Run(t, "cp", id+":/o/f", pipe)
	if info, err := os.Lstat(pipe); err != nil || info.Mode().IsRegular() || r.Err != "linnet: writing "+pipe+": it is a device, a pipe or a socket: name a file or a directory\n" {
		t.Errorf("exit code %d, %v, %v\n%s", r.Code, info, err, r.Err)
	}
}

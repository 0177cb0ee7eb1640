//go:build e2e && linux

package native_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

const binfmt = "/proc/sys/fs/binfmt_misc"

// foreign is the architecture that this machine's processor does not have, and the name that
// its kernel and its emulator go by.
func foreign() (arch, machine string) {
	if runtime.GOARCH == "arm64" {
		return "amd64", "x86_64"
	}
	return "arm64", "aarch64"
}

// leaveBinfmt puts binfmt_misc back as it was: not there, or with the entries that were there.
func leaveBinfmt(t *testing.T) {
	t.Helper()
	_, machine := foreign()
	if _, err := exec.LookPath("qemu-" + machine + "-static"); err != nil {
		t.Fatalf("a static emulator is missing: apt install qemu-user-static (%v)", err)
	}
	_, err := os.Stat(filepath.Join(binfmt, "status"))
	mounted := err == nil
	for name := range entries(t) { // of other engines of this suite, which register again what they need
		if strings.HasPrefix(name, "linnet-") || strings.HasPrefix(name, "buildkit-qemu-") {
			forget(t, name)
		}
	}
	before := entries(t)
	t.Cleanup(func() {
		if after := entries(t); !maps.Equal(before, after) {
			t.Errorf("binfmt_misc had %v, and has %v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
		}
		if mounted {
			return
		}
		if err := unix.Unmount(binfmt, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	})
}

// entries are what binfmt_misc knows, with what it says of each.
func entries(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, err := filepath.Glob(binfmt + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := filepath.Base(f); name != "register" && name != "status" {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Error(err)
			}
			all[name] = string(text)
		}
	}
	return all
}

// others reports whether another program has registered an emulator for a machine.
func others(t *testing.T, machine string) bool {
	t.Helper()
	for name, text := range entries(t) {
		if !strings.HasPrefix(name, "linnet-") && strings.Contains(text, machine) {
			return true
		}
	}
	return false
}

// status is what `emulation status` says of one architecture.
type status struct {
	Architecture, Runs, Interpreter, Entry, Flags, Setuid, Missing, Fix string
	Verified                                                            bool
}

func emulation(t *testing.T, e *lab.Engine, arch string) status {
	t.Helper()
	var all struct {
		Host          string
		Architectures []status
	}
	if err := json.Unmarshal([]byte(e.Must(t, "emulation", "status", "--format", "json")), &all); err != nil {
		t.Fatal(err)
	}
	if all.Host != runtime.GOARCH {
		t.Errorf("the host is said to be %s", all.Host)
	}
	for _, s := range all.Architectures {
		if s.Architecture == arch {
			return s
		}
	}
	t.Fatalf("%s is not among %v", arch, all.Architectures)
	return status{}
}

// foreignContext is a build context whose image says, in programs of the foreign architecture,
// what it runs on and as whom; /setuid belongs to user 7.
func foreignContext(t *testing.T, arch string) string {
	t.Helper()
	dir := t.TempDir()
	const program = `package main

import ("fmt"; "os"; "runtime")

func main() {
	fmt.Println(runtime.GOARCH, os.Geteuid())
	if len(os.Args) > 1 && os.Args[1] != fmt.Sprint(os.Geteuid()) { os.Exit(1) }
}
`
	const dockerfile = `FROM scratch
COPY who /who
COPY --chown=7:7 --chmod=4755 who /setuid
USER 1000
RUN ["/who", "1000"]
RUN ["/setuid", "7"]
ENTRYPOINT ["/setuid"]
`
	for name, text := range map[string]string{"who.go": program, "Dockerfile": dockerfile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", "who", "who.go")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// The first command with a foreign platform registers the emulator, in a build and in a run, and
// setuid programs work in both. Disabling is said, and heeded, until emulation is enabled again.
func TestForeignPlatforms(t *testing.T) {
	leaveBinfmt(t)
	e := lab.New(t)
	arch, machine := foreign()
	platform, dir := "linux/"+arch, foreignContext(t, arch)
	note := "emulating " + platform + " on " + runtime.GOARCH + " with qemu-" + machine + "-static\n"

	build := e.Run(t, "build", "--progress", "plain", "--platform", platform, "-t", "foreign", dir)
	for _, want := range []string{arch + " 1000\n", arch + " 7\n"} {
		if build.Code != 0 || !strings.Contains(build.Err, want) {
			t.Fatalf("the build does not say %q: exit code %d\n%s", want, build.Code, build.Err)
		}
	}
	if n := strings.Count(build.Err, note); n != 1 {
		t.Errorf("the build says %d times %q:\n%s", n, note, build.Err)
	}

	run := e.Run(t, "run", "--rm", "--network=none", "--platform", platform, "foreign")
	if run.Code != 0 || run.Out != arch+" 7\n" || !strings.Contains(run.Err, "note: "+note) {
		t.Errorf("run: exit code %d, %q\n%s", run.Code, run.Out, run.Err)
	}
	if strings.Contains(run.Err, "incompatible") {
		t.Errorf("nerdctl doubts it:\n%s", run.Err)
	}
	if r := e.Run(t, "--quiet", "run", "--rm", "--network=none", "--platform", platform, "foreign"); r.Code != 0 || r.Err != "" {
		t.Errorf("run --quiet: exit code %d\n%s", r.Code, r.Err)
	}
	s := emulation(t, e, arch)
	if s.Runs != "emulated" || !s.Verified || s.Setuid != "yes" || s.Missing != "" || !strings.Contains(s.Flags, "F") || !strings.Contains(s.Flags, "C") {
		t.Errorf("status says %+v", s)
	}

	e.Must(t, "emulation", "disable")
	for name := range entries(t) {
		if strings.HasPrefix(name, "linnet-") && strings.Contains(name, machine) {
			t.Errorf("%s is still registered", name)
		}
	}
	if others(t, machine) {
		t.Log("another program emulates here, so nothing more can be asked")
		return
	}
	const off, hint = ": emulation is disabled", "hint: linnet emulation enable\n"
	run = e.Run(t, "run", "--rm", "--platform", platform, "foreign")
	if want := "linnet: emulating " + platform + off + "\n" + hint; run.Code != 1 || run.Err != want {
		t.Errorf("run: exit code %d\n%s, want\n%s", run.Code, run.Err, want)
	}
	build = e.Run(t, "build", "--no-cache", "--platform", platform, dir)
	if want := "exit code: 255 (emulating " + platform + off + ")\n" + hint; build.Code != 1 || !strings.HasSuffix(build.Err, want) {
		t.Errorf("build: exit code %d\n%s, want\n%s", build.Code, build.Err, want)
	}
	composed := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(composed, []byte("services:\n  one: {image: foreign, platform: "+platform+", network_mode: none}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	up := e.Run(t, "compose", "-f", composed, "up")
	if want := "linnet: emulating " + platform + off + "\n" + hint; up.Code != 1 || up.Err != want {
		t.Errorf("compose up: exit code %d\n%s, want\n%s", up.Code, up.Err, want)
	}
	copies := filepath.Join(dir, "Dockerfile.copies")
	if err := os.WriteFile(copies, []byte("FROM scratch\nCOPY who /\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "build", "--platform", platform, "-f", copies, dir) // runs nothing in the guest

	e.Must(t, "emulation", "enable", arch)
	if out := e.Must(t, "run", "--rm", "--network=none", "--platform", platform, "foreign"); out != arch+" 7" {
		t.Errorf("after enable: %q", out)
	}
	forgetEntries(t, machine) // as a reboot does
	comeBack(t, e, platform, arch)

	forgetEntries(t, machine)
	if up := e.Run(t, "compose", "-f", composed, "up"); up.Code != 0 || !strings.Contains(up.Out+up.Err, arch+" 7\n") || !strings.Contains(up.Err, "note: "+note) {
		t.Errorf("compose up: exit code %d\n%s%s", up.Code, up.Out, up.Err)
	}
	e.Must(t, "compose", "-f", composed, "down")

	forgetEntries(t, machine)
	from := filepath.Join(dir, "Dockerfile.from")
	if err := os.WriteFile(from, []byte("FROM --platform="+platform+" scratch\nCOPY who /\nRUN [\"/who\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := e.Run(t, "build", "--progress", "plain", "-f", from, dir); r.Code != 0 || !strings.Contains(r.Err, arch+" 0\n") || !strings.Contains(r.Err, note) {
		t.Errorf("FROM --platform: exit code %d\n%s", r.Code, r.Err)
	}

	e.Must(t, "engine", "stop")
	forgetEntries(t, machine)
	e.Must(t, "ps")
	if s := emulation(t, e, arch); s.Runs != "emulated" || s.Setuid != "yes" {
		t.Errorf("after a reboot: %+v", s)
	}

	e.Must(t, "engine", "reset", "--force")
	for name := range entries(t) {
		if strings.HasPrefix(name, "linnet-") && strings.Contains(name, machine) {
			t.Errorf("engine reset left %s", name)
		}
	}
}

// comeBack runs several first commands at once.
func comeBack(t *testing.T, e *lab.Engine, platform, arch string) {
	t.Helper()
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if r := e.Run(t, "run", "--rm", "--network=none", "--platform", platform, "foreign"); r.Code != 0 || r.Out != arch+" 7\n" {
				t.Errorf("one of many: exit code %d, %q\n%s", r.Code, r.Out, r.Err)
			}
		})
	}
	all.Wait()
}

// forgetEntries takes linnet's entries for a machine out of the kernel behind linnet's back.
func forgetEntries(t *testing.T, machine string) {
	t.Helper()
	for name := range entries(t) {
		if strings.HasPrefix(name, "linnet-") && strings.Contains(name, machine) {
			forget(t, name)
		}
	}
}

func forget(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(binfmt, name), []byte("-1"), 0); err != nil {
		t.Fatal(err)
	}
}

// A system that has not mounted binfmt_misc gets it mounted.
func TestEmulationMountsBinfmt(t *testing.T) {
	leaveBinfmt(t)
	e := lab.New(t)
	arch, machine := foreign()
	ns := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c",
		`while umount `+binfmt+` 2>/dev/null; do :; done
[ ! -e `+binfmt+`/status ] || exit 3
"$0" emulation enable `+arch+` && ls `+binfmt, lab.Linnet())
	ns.Env = e.Environ()
	out, err := ns.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "-"+machine+"\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Who may not register, or has nothing to register, is told the one thing to do.
func TestEmulationThatCannotBe(t *testing.T) {
	leaveBinfmt(t)
	e := lab.New(t)
	arch, machine := foreign()
	if others(t, machine) {
		t.Skip("another program emulates here")
	}
	r := e.Run(t, "emulation", "enable", "mips")
	if r.Code != 2 || r.Err != "linnet: emulation enable: \"mips\" is not a known architecture\nhint: one of amd64, arm64, arm, 386, riscv64, ppc64le, s390x\n" {
		t.Errorf("exit code %d\n%s", r.Code, r.Err)
	}
	dynamic := t.TempDir()
	if err := os.Symlink("/bin/ls", filepath.Join(dynamic, "qemu-"+machine)); err != nil {
		t.Fatal(err)
	}
	hide := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c",
		`for d in /usr/bin /bin; do [ -L $d ] || mount --bind /dev/null $d/qemu-`+machine+`-static; done; exec "$0" emulation enable `+arch, lab.Linnet())
	hide.Env = append(e.Environ(), "PATH="+dynamic+":"+os.Getenv("PATH"))
	out, err := hide.CombinedOutput()
	want := "linnet: emulating linux/" + arch + ": " + dynamic + "/qemu-" + machine + " needs libraries that containers do not have\n" +
		"hint: apt install qemu-user-static, or put a static qemu-" + machine + " in the PATH\n"
	if err == nil || !strings.HasSuffix(string(out), want) {
		t.Errorf("%v\n%s, want\n%s", err, out, want)
	}
}

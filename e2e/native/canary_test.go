//go:build e2e && linux

package native_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/e2e/internal/scan"
)

// watch is an engine of which every program that it ever executes is recorded, and all that
// it may write is searched. It logs at level debug.
type watch struct {
	*lab.Engine
	execs  scan.Execs
	began  time.Time
	log    string // the directory of what the commands said
	own    string // the directory of what the test itself writes
	number int

	mu     sync.Mutex
	handed []scan.Hit // files that a program was started with
}

func newWatch(t *testing.T, m scan.Marker) *watch {
	t.Helper()
	w := &watch{Engine: lab.New(t), log: t.TempDir(), own: t.TempDir(), began: time.Now().Add(-time.Second)}
	if err := os.MkdirAll(w.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.Home, "linnet.yaml"), []byte("log:\n  level: debug\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A file that is handed over and removed again is gone before anybody can search for it,
	// so it is looked at while the program that it is handed to is stopped.
	w.execs.At = func(e scan.Exec) {
		for _, arg := range e.Argv {
			info, err := os.Stat(arg)
			if !filepath.IsAbs(arg) || err != nil || !info.Mode().IsRegular() || strings.HasPrefix(arg, w.own) {
				continue
			}
			hits, _, err := scan.Files{Roots: []string{arg}}.Find(m)
			if err != nil {
				continue // gone meanwhile
			}
			w.mu.Lock()
			w.handed = append(w.handed, hits...)
			w.mu.Unlock()
		}
	}
	return w
}

// run runs a traced linnet, which has to succeed, and returns its standard output.
func (w *watch) run(t *testing.T, args ...string) string {
	t.Helper()
	w.number++
	var files [2]*os.File
	for i, name := range []string{"out", "err"} {
		file, err := os.Create(filepath.Join(w.log, fmt.Sprintf("%d.%s", w.number, name)))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files[i] = file
	}
	cmd := w.Command(t.Context(), args...)
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	code, err := w.execs.Run(cmd)
	if err != nil {
		t.Fatalf("linnet %.200q: %v", args, err)
	}
	out, err := os.ReadFile(files[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 {
		errs, _ := os.ReadFile(files[1].Name())
		t.Fatalf("linnet %.200q: exit code %d\n%.2000s%.2000s", args, code, out, errs)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// files is everywhere that a command can have written since the watch began, the memory
// file systems and what the commands said included.
func (w *watch) files(skip ...string) scan.Files {
	skip = append(skip, w.own)
	return scan.Files{
		Roots: []string{
			filepath.Dir(w.Home), w.log,
			"/run", "/dev/shm", "/tmp", "/var/tmp", "/var/log", "/var/lib/cni", "/var/lib/nerdctl", "/var/lib/containerd", "/etc/cni",
		},
		Since: w.began,
		Skip: func(path string) bool {
			// Another engine on this host may be busy with what the scanner cannot look into.
			other, _ := filepath.Match("/tmp/ln-*", path)
			return slices.Contains(skip, path) || other && path != filepath.Dir(w.Home)
		},
	}
}

// metadata is containerd's database, where the environment of containers has its place.
func (w *watch) metadata() string {
	return filepath.Join(w.Home, "native/containerd/io.containerd.metadata.v1.bolt/meta.db")
}

// volatile is the engine's directory in memory.
func (w *watch) volatile() string {
	sum := sha256.Sum256([]byte(w.Home))
	return filepath.Join("/run/linnet", hex.EncodeToString(sum[:4]))
}

// bundles is the directory of the bundles of running containers, in memory.
func (w *watch) bundles(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(w.volatile(), "containerd/io.containerd.runtime.v2.task")
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runcState is where runc keeps the state of living containers, of every engine on this
// host: its place is fixed in containerd's shim.
const runcState = "/run/containerd/runc"

// check searches everywhere but in the paths to skip.
func (w *watch) check(t *testing.T, m scan.Marker, skip ...string) {
	t.Helper()
	hits, read, err := w.files(skip...).Find(m)
	if err != nil {
		t.Fatal(err)
	}
	if read < 20 {
		t.Errorf("only %d files were searched", read)
	}
	running, err := scan.Running(m)
	if err != nil {
		t.Fatal(err)
	}
	hits = append(append(hits, running...), w.execs.Find(m)...)
	w.mu.Lock()
	defer w.mu.Unlock()
	// The shim hands runc what exec is to run, environment included, in a file beside the
	// bundles, in memory, for the moment of the start.
	skip = append(skip, filepath.Join(w.volatile(), "runc-process"))
	for _, h := range w.handed {
		if !slices.ContainsFunc(skip, func(dir string) bool { return strings.HasPrefix(h.Where, dir) }) {
			hits = append(hits, scan.Hit{Where: "a file handed to a program: " + h.Where, Form: h.Form})
		}
	}
	for _, h := range hits {
		t.Errorf("found in %v", h)
	}
}

// prove plants a secret of its own wherever check must find one, with this engine's own
// means where it can, and sees that it is found.
func (w *watch) prove(t *testing.T, image string) {
	t.Helper()
	m := scan.NewMarker()
	plant := map[string]string{
		filepath.Join(w.Home, "native/log/planted.log"): "level=debug env=" + string(m),
		filepath.Join(w.Home, "native/nerdctl/planted"): hex.EncodeToString([]byte(m)),
		filepath.Join(w.User, "planted"):                string(m),
		"/run/" + string(m)[:16]:                        string(m),
		"/dev/shm/" + string(m)[:16]:                    string(m),
		filepath.Join(w.log, "planted"):                 string(m),
	}
	for path, text := range plant {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
	}
	// Its log file has it, the container's own short-lived process, and its bundle.
	w.run(t, "run", "--name", "planted", "--network=none", image, "echo", string(m))
	defer w.run(t, "rm", "planted")
	hits, _, err := w.files().Find(m)
	if err != nil {
		t.Fatal(err)
	}
	found := func(path string) bool {
		return slices.ContainsFunc(hits, func(h scan.Hit) bool { return strings.Contains(h.Where, path) })
	}
	for path := range plant {
		if !found(path) {
			t.Errorf("planted in %s and not found", path)
		}
	}
	for _, path := range []string{"-json.log", w.metadata()} {
		if !found(path) {
			t.Errorf("it must be in %s, and was not found", path)
		}
	}
	programs := map[string]bool{}
	for _, e := range w.execs.All() {
		if slices.Contains(e.Argv, string(m)) && !e.First {
			programs[filepath.Base(e.Argv[0])] = true
		}
	}
	if !programs["nerdctl"] || !programs["echo"] {
		t.Errorf("the command lines of nerdctl and of the container must be seen, saw %v", programs)
	}
}

// secrets are values that are hard to carry, by a name that says why.
func secrets(m scan.Marker) map[string]string {
	var big strings.Builder
	for i := 0; big.Len() < 100<<10; i++ {
		fmt.Fprintf(&big, "%s %d\t'\"\\$x\x01é;", m, i)
	}
	return map[string]string{
		"PLAIN":    string(m),
		"NEWLINE":  "one " + string(m) + "\ntwo\r\n\n" + string(m) + "\n",
		"HASH":     "# " + string(m) + " #" + string(m),
		"SPACE":    " \t" + string(m) + "  ",
		"QUOTES":   `"` + string(m) + `' $HOME $(id) \n {{.}} = ` + "`",
		"BIG100KB": big.String(),
		"EMPTY":    "",
	}
}

// sums is a command that shows, for each name, the digest of what the variable is.
func sums(names []string) []string {
	script := ""
	for _, name := range names {
		script += fmt.Sprintf("printf %%s \"${%[1]s-unset}\" | sha256sum | sed 's/  -/ %[1]s/';", name)
	}
	return []string{"sh", "-c", script}
}

// same checks what sums has shown.
func same(t *testing.T, how, out string, values map[string]string) {
	t.Helper()
	for name, value := range values {
		sum := sha256.Sum256([]byte(value))
		if want := hex.EncodeToString(sum[:]) + " " + name; !strings.Contains(out+"\n", want+"\n") {
			t.Errorf("%s: %s is not what it was", how, name)
		}
	}
}

// A variable of a container arrives byte for byte, however it is passed, and is on no
// command line, in no log at level debug and in no file but containerd's metadata and, while
// the container lives, its bundle in memory.
func TestEnvironmentIsExactAndNowhereElse(t *testing.T) {
	t.Parallel()
	m := scan.NewMarker()
	w := newWatch(t, m)
	bare, typed := map[string]string{}, map[string]string{}
	var names, typedNames, bareFlags, typedFlags []string
	for name, value := range secrets(m) {
		bare["TOKEN_"+name], typed["TYPED_"+name] = value, value
		w.Env = append(w.Env, "TOKEN_"+name+"="+value)
		names, typedNames = append(names, "TOKEN_"+name), append(typedNames, "TYPED_"+name)
		bareFlags = append(bareFlags, "-e", "TOKEN_"+name)
		typedFlags = append(typedFlags, "-e", "TYPED_"+name+"="+value)
	}
	// Already the command that starts the engine has the secrets in its environment.
	w.run(t, "--debug", "ps")
	image := w.Busybox(t)
	w.prove(t, image)
	none := []string{"--network=none"}

	in := func(words ...any) []string {
		var args []string
		for _, word := range words {
			switch word := word.(type) {
			case string:
				args = append(args, word)
			case []string:
				args = append(args, word...)
			}
		}
		return args
	}
	// Networks and published ports bring more programs: CNI plugins, hooks, iptables.
	same(t, "run -e NAME", w.run(t, in("run", "--rm", "-p", "127.0.0.1:"+freePort(t)+":80", bareFlags, image, sums(names))...), bare)
	same(t, "run -e NAME=value", w.run(t, in("--debug", "run", "--rm", none, typedFlags, image, sums(typedNames))...), typed)
	same(t, "run -e NAME, nerdctl at debug",
		w.run(t, in("nerdctl", "--debug-full", "run", "--rm", none, bareFlags, image, sums(names))...), bare)

	// A file's format holds a line; for what a line cannot hold there are bare names.
	file := filepath.Join(w.own, "env")
	text := "# a comment\nFILE_PLAIN=" + bare["TOKEN_PLAIN"] + "\nFILE_HASH=" + bare["TOKEN_HASH"] + "\n" + strings.Join(names, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	inFile := map[string]string{"FILE_PLAIN": bare["TOKEN_PLAIN"], "FILE_HASH": bare["TOKEN_HASH"]}
	for name, value := range bare {
		inFile[name] = value
	}
	fileNames := append([]string{"FILE_PLAIN", "FILE_HASH"}, names...)
	same(t, "run --env-file", w.run(t, in("run", "--rm", none, "--env-file", file, image, sums(fileNames))...), inFile)

	w.run(t, in("run", "-d", "--name", "long", "-p", "127.0.0.1:"+freePort(t)+":80", bareFlags, typedFlags, image, "sleep", "infinity")...)
	same(t, "exec", w.run(t, in("exec", "long", sums(append(names, typedNames...)))...), bare)
	w.run(t, "run", "-d", "--name", "clean", "--network=none", image, "sleep", "infinity")
	same(t, "exec -e NAME", w.run(t, in("exec", bareFlags, "clean", sums(names))...), bare)
	same(t, "exec -e NAME=value", w.run(t, in("--debug", "exec", typedFlags, "clean", sums(typedNames))...), typed)
	same(t, "exec --env-file", w.run(t, in("exec", "--env-file", file, "clean", sums(fileNames))...), inFile)
	t.Run("while they run", func(t *testing.T) { w.check(t, m, w.metadata(), w.bundles(t), runcState) })

	w.run(t, "stop", "-t", "0", "long")
	w.run(t, "start", "long")
	same(t, "after a restart", w.run(t, in("exec", "long", sums(append(names, typedNames...)))...), typed)
	w.run(t, "rm", "-f", "long", "clean")
	t.Run("when they are removed", func(t *testing.T) { w.check(t, m, w.metadata()) })
	t.Run("in the memory of what goes on", func(t *testing.T) {
		hits, err := scan.Environments(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hits {
			t.Errorf("found in %v", h)
		}
	})
	w.run(t, "engine", "reset", "--force")
	t.Run("after a reset", func(t *testing.T) { w.check(t, m) })
	w.execs.Drain()
}

// What is in the user's environment and is not passed to the container is kept nowhere at
// all: nerdctl would write it into the container's hooks, and these are kept on disk.
func TestEnvironmentThatIsNotPassedIsNowhere(t *testing.T) {
	t.Parallel()
	m := scan.NewMarker()
	w := newWatch(t, m)
	w.run(t, "ps")
	image := w.Busybox(t)
	w.Env = []string{"AWS_SECRET_ACCESS_KEY=" + string(m), "PASSED=yes"}
	if out := w.run(t, "run", "--rm", "-e", "PASSED", "-e", "UNSET", "-p", "127.0.0.1:"+freePort(t)+":80", image, "env"); !strings.Contains(out, "PASSED=yes") {
		t.Errorf("the variable that was passed is missing: %q", out)
	}
	w.run(t, "create", "--name", "made", "--network=none", image, "true")
	w.run(t, "start", "made")
	w.run(t, "run", "-d", "--name", "long", "--network=none", image, "sleep", "infinity")
	w.run(t, "exec", "long", "true")
	w.check(t, m)
	w.run(t, "rm", "-f", "made", "long")
	w.run(t, "engine", "reset", "--force")
	w.execs.Drain()
}

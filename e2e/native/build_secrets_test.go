//go:build e2e && linux

package native_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/scan"
)

// A build secret, from a file or a variable, reaches the step byte for byte and is nowhere
// afterwards: on no command line, in no log at level debug, in no layer, no history, no metadata, no
// provenance, no exported cache or archive, in nothing that the engine keeps.
func TestBuildSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	m := scan.NewMarker()
	w := newWatch(t, m)
	values := secrets(m)
	delete(values, "EMPTY")
	binary := "\x00\xff\xfe" + string(m) + "\x80\n\x00" + string(m) + "\xc3\x28"
	dockerfile := "FROM linnet-test/busybox\n"
	args := []string{"--debug", "build", "--progress=plain"}
	want := map[string]string{}
	var env []string
	mounted := func(id, value string) {
		want[id] = value
		dockerfile += fmt.Sprintf("RUN --mount=type=secret,id=%[1]s,required=true echo \"$(sha256sum </run/secrets/%[1]s | cut -c1-64) %[1]s\" >>/sums\n", id)
	}
	file := func(name, value string) {
		path := filepath.Join(w.own, name)
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--secret", "id=file-"+name+",src="+path)
		mounted("file-"+name, value)
	}
	for name, value := range values {
		file(name, value)
		env = append(env, "TOKEN_"+name+"="+value)
		args = append(args, "--secret", "id=env-"+name+",env=TOKEN_"+name)
		mounted("env-"+name, value)
	}
	file("BINARY", binary)
	w.run(t, "ps")
	image := w.Busybox(t)
	w.prove(t, image)
	w.Env = env // from here on, as some of it would be in the shell of a user
	// What these write is searched, too; layers are looked into.
	for kind, dest := range map[string]string{"oci": "image.tar", "docker": "docker.tar", "local": "files"} {
		args = append(args, "--output", "type="+kind+",dest="+filepath.Join(w.log, dest))
	}
	args = append(args, "--output", "type=image,name=docker.io/library/secret:latest",
		"--metadata-file", filepath.Join(w.log, "metadata.json"),
		"--cache-to", "type=local,mode=max,compression=gzip,dest="+filepath.Join(w.log, "cache"))
	w.run(t, append(args, project(t, dockerfile))...)
	// Provenance is an image of its own beside the image, which docker's archive has no place for.
	w.run(t, append(args[:len(args)-4:len(args)-4], "--output", "type=oci,tar=false,dest="+filepath.Join(w.log, "layout"), "--provenance=mode=max", project(t, dockerfile))...)
	w.Env = nil

	same(t, "build --secret", w.run(t, "run", "--rm", "--network=none", "secret", "cat", "/sums"), want)
	w.run(t, "history", "--no-trunc", "secret")
	w.run(t, "image", "inspect", "--mode=native", "secret")
	w.run(t, "save", "-o", filepath.Join(w.log, "secret.tar"), "secret")
	w.check(t, m)
	hits, err := scan.Environments(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hits {
		t.Errorf("found in %v", h)
	}
	w.run(t, "engine", "reset", "--force")
	w.execs.Drain()
}

// A secret is asked for when its step runs, and not when the step is cached: a pipe to which no process
// writes would keep the build waiting.
func TestACachedStepDoesNotAskForItsSecret(t *testing.T) {
	t.Parallel()
	m := scan.NewMarker()
	w := newWatch(t, m)
	w.run(t, "ps")
	pipe := filepath.Join(w.own, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := project(t, "FROM "+w.Busybox(t)+"\nRUN --mount=type=secret,id=it,required=true sha256sum </run/secrets/it >/sum\n")
	args := []string{"build", "--progress=plain", "-t", "asked", "--secret", "id=it,src=" + pipe, dir}
	told := make(chan error, 1)
	go func() { told <- os.WriteFile(pipe, []byte(m), 0o600) }() // waits for a reader
	w.run(t, args...)
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	w.run(t, args...)
	if _, err := unix.Open(pipe, unix.O_WRONLY|unix.O_NONBLOCK, 0); !errors.Is(err, unix.ENXIO) {
		t.Errorf("a process reads the secret: %v", err)
	}
	out, err := os.ReadFile(filepath.Join(w.log, itoa(w.number)+".err"))
	if err != nil || !strings.Contains(string(out), "CACHED") {
		t.Errorf("the second build was not cached: %v\n%s", err, out)
	}
	same(t, "build --secret from a pipe", w.run(t, "run", "--rm", "--network=none", "asked", "sed", "s/  -/ it/", "/sum"), map[string]string{"it": string(m)})
	w.check(t, m)
	w.run(t, "engine", "reset", "--force")
	w.execs.Drain()
}

// A secret that the Dockerfile wants as a variable is as little anywhere as one that is a file, also
// while its step runs, although an engine keeps the environments of its containers. It is byte for byte
// what was given, whichever user the step runs as and whatever it runs, and it is not asked for when the step is
// cached.
func TestASecretAsAVariableIsNowhere(t *testing.T) {
	t.Parallel()
	m := scan.NewMarker()
	w := newWatch(t, m)
	w.run(t, "ps")
	g := newGate(t)
	value := "\xff" + string(m) + "\n$(false) 'quoted' \\\n\n"
	file := filepath.Join(w.own, "token")
	if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	const mount = "--mount=type=secret,id=it,env=TOKEN,required=true "
	base := "FROM " + w.Busybox(t) + "\n"
	dir := project(t, base+"RUN "+mount+"printf %s \"$TOKEN\" | sha256sum >/root-sum; echo ${NONE-not set} >/none\n"+
		"RUN echo named:x:1001:1001::/:/bin/sh >>/etc/passwd; mkdir -m 777 /sums\n"+
		"USER 1000\nRUN "+mount+"printf %s \"$TOKEN\" | sha256sum >/sums/number\n"+
		"USER named\nRUN "+mount+"--mount=type=secret,id=none,env=NONE [\"sh\", \"-c\", \"printf %s \\\"$TOKEN\\\" | sha256sum >/sums/name; echo \\\"<$NONE>\\\" >/sums/none\"]\n"+
		"USER root\n"+strings.Replace(g.step(), "RUN ", "RUN "+mount, 1))
	args := func(outputs ...string) []string {
		return append(append([]string{"--debug", "build", "--progress=plain", "--allow", "network.host", "-t", "variable", "--secret", "id=it,src=" + file}, outputs...), dir)
	}
	w.searchAt(t, g, m, args("--metadata-file", filepath.Join(w.log, "metadata.json"))...)
	sums := w.run(t, "run", "--rm", "--network=none", "variable", "sh", "-c", "cat /root-sum /sums/number /sums/name /sums/none")
	sum := fmt.Sprintf("%x  -\n", sha256.Sum256([]byte(value)))
	if want := sum + sum + sum + "<>"; sums != want {
		t.Errorf("the steps got %q, want %q", sums, want)
	}
	if layers := w.run(t, "run", "--rm", "--network=none", "variable", "find", "/", "-xdev", "-name", "*linnet*"); layers != "" {
		t.Errorf("the image has %s", layers)
	}
	// With provenance, which BuildKit's own frontend writes, and into other formats, from what is cached; a
	// secret that is gone meanwhile is not missed.
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t, args("--provenance=mode=max", "--output", "type=oci,tar=false,dest="+filepath.Join(w.log, "layout"), "--cache-to", "type=local,mode=max,dest="+filepath.Join(w.log, "cache"))...)
	out, err := os.ReadFile(filepath.Join(w.log, itoa(w.number)+".err"))
	if err != nil || strings.Count(string(out), "CACHED") < 5 {
		t.Errorf("the second build was not cached: %v\n%s", err, out)
	}
	w.check(t, m)
	w.run(t, "engine", "reset", "--force")
	w.execs.Drain()
}

// A step with a secret as a variable is cached as any other: also without the secret, and not with
// --no-cache, which leaves cache mounts as they are. What is attested of an image stands on the same run of it,
// and its layers are those that it has without the variable.
func TestAStepWithASecretIsCachedAsAnyOther(t *testing.T) {
	t.Parallel()
	m := scan.NewMarker()
	w := newWatch(t, m)
	w.Env = unbounded
	w.run(t, "ps")
	file := filepath.Join(w.own, "token")
	if err := os.WriteFile(file, []byte(m), 0o600); err != nil {
		t.Fatal(err)
	}
	base, given := "FROM "+w.Busybox(t)+"\n", []string{"--secret", "id=it,src=" + file}
	dir := project(t, base+"RUN --mount=type=secret,id=it,env=TOKEN,required=true sha256sum </proc/self/environ >/dev/null; date +%N >/one\n"+
		"RUN --mount=type=cache,target=/d echo x >>/d/log; cp /d/log /log\nRUN date +%N >/two\n")
	ran := func(args ...string) []string {
		t.Helper()
		w.run(t, append(append([]string{"build", "--progress=plain", "-t", "steps"}, args...), dir)...)
		out, err := os.ReadFile(filepath.Join(w.log, itoa(w.number)+".err"))
		if err != nil {
			t.Fatal(err)
		}
		return notCached(string(out))
	}
	for _, c := range []struct {
		args []string
		want int
		log  string
	}{
		{given, 3, "x"},
		{nil, 0, "x"},
		{append([]string{"--no-cache"}, given...), 3, "x x"},
		{nil, 0, "x x"},
	} {
		if got := ran(c.args...); len(got) != c.want {
			t.Errorf("with %q these steps ran, not %d: %q", c.args, c.want, got)
		}
		if got := strings.Join(strings.Fields(w.run(t, "run", "--rm", "--network=none", "steps", "cat", "/log")), " "); got != c.log {
			t.Errorf("after %q the cache mount has %q, want %q", c.args, got, c.log)
		}
	}

	scanner := project(t, base+"COPY --chmod=755 scan /scan\nCMD [\"/scan\"]\n")
	script := "#!/bin/sh\necho '{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"predicateType\":\"https://spdx.dev/Document\",\"predicate\":{}}' >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json\n"
	if err := os.WriteFile(filepath.Join(scanner, "scan"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w.run(t, "build", "-t", "scanner", scanner)
	for _, provenance := range []string{"false", "mode=max"} {
		args := append([]string{"--no-cache-filter=none", "--sbom=generator=docker.io/library/scanner", "--provenance=" + provenance, "--build-arg", "BY=" + provenance}, given...)
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(base+"ARG BY\nRUN --mount=type=secret,id=it,env=TOKEN,required=true echo $BY >/by\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := ran(args...); len(got) != 2 { // and the scanner
			t.Errorf("with provenance %s these ran: %q", provenance, got)
		}
	}

	layers := func(step string) string {
		t.Helper()
		out := t.TempDir()
		w.run(t, append([]string{"build", "--output", "type=tar,dest=" + filepath.Join(out, "x.tar"), project(t, base+step)}, given...)...)
		names, err := exec.Command("tar", "-tf", filepath.Join(out, "x.tar")).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(names)
	}
	if with, without := layers("RUN --mount=type=secret,id=it,env=TOKEN touch /made\n"), layers("RUN touch /made\n"); with != without || !strings.Contains(with, "made") {
		t.Errorf("with a secret the image has\n%s\nwithout\n%s", with, without)
	}
	w.check(t, m)
	w.run(t, "engine", "reset", "--force")
	w.execs.Drain()
}

// So it is with a frontend that a Dockerfile names itself, and that the engine runs.
func TestASecretAsAVariableOfAFetchedFrontend(t *testing.T) {
	t.Parallel()
	m := scan.NewMarker()
	w := newWatch(t, m)
	w.run(t, "ps")
	reg := pushTarget(t)
	program := project(t, "FROM scratch\nCOPY frontend /\nENTRYPOINT [\"/frontend\"]\n")
	build := exec.Command("go", "build", "-o", filepath.Join(program, "frontend"), "github.com/moby/buildkit/frontend/dockerfile/cmd/dockerfile-frontend")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building a frontend: %v\n%s", err, out)
	}
	w.run(t, "build", "--output", "type=registry,store=false,name="+reg+"/frontend", program)
	file := filepath.Join(w.own, "token")
	if err := os.WriteFile(file, []byte(m), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGate(t)
	const mount = "--mount=type=secret,id=it,env=TOKEN,required=true "
	dir := project(t, "# syntax="+reg+"/frontend\nFROM "+w.Busybox(t)+"\nRUN "+mount+"printf %s \"$TOKEN\" | sha256sum >/sum\n"+
		strings.Replace(g.step(), "RUN ", "RUN "+mount, 1))
	w.searchAt(t, g, m, "--debug", "build", "--progress=plain", "--allow", "network.host", "-t", "fetched", "--secret", "id=it,src="+file, dir)
	if got, want := w.run(t, "run", "--rm", "--network=none", "fetched", "cat", "/sum"), fmt.Sprintf("%x  -", sha256.Sum256([]byte(m))); got != want {
		t.Errorf("the step got %q, want %q", got, want)
	}
	w.check(t, m)
	w.run(t, "engine", "reset", "--force")
	w.execs.Drain()
}

// searchAt runs a build whose step stops at a gate, and searches while it stands there.
func (w *watch) searchAt(t *testing.T, g gate, m scan.Marker, build ...string) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(t, build...)
	}()
	open := g.reached()
	t.Run("while it runs", func(t *testing.T) { w.check(t, m, inMemory(t)...) })
	open()
	<-ended
}

// inMemory is where BuildKit has the secrets of running steps: file systems of their own, in memory.
func inMemory(t *testing.T) (dirs []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(os.TempDir(), "buildkit-secrets*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err == nil && fs.Type == unix.TMPFS_MAGIC {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		t.Fatal("no step has its secrets in memory")
	}
	return dirs
}

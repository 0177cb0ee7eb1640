//go:build e2e && linux

package vm_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/e2e/internal/scan"
)

// execEvent records every command line of the machine: a probe where the kernel takes the
// arguments of execve(2), the first sixteen of them.
func execEvent() string {
	var b strings.Builder
	b.WriteString("p:linnet/exec __x64_sys_execve")
	for i := range 16 {
		fmt.Fprintf(&b, " a%d=+u0(+u%d(+104(%%di))):ustring", i, 8*i)
	}
	return b.String()
}

// inside runs a script in the machine as root.
func inside(t *testing.T, e *lab.Engine, script string) string {
	t.Helper()
	return must(t, e, "vm", "shell", "sudo", "sh", "-c", script)
}

// TestSecretsStayOutOfTheMachine: a build's secret, a registry's password and a staged file
// are on no command line on either side, in no log (everything logs at level debug), and not
// on the disks of the machine, read as they are.
func TestSecretsStayOutOfTheMachine(t *testing.T) {
	e := ownMachine(t)
	configure(t, e, "log:\n  level: debug\n")
	var execs scan.Execs
	run := func(args ...string) string {
		t.Helper()
		out, err := os.CreateTemp(e.User, "out-")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd := e.Command(t.Context(), append([]string{"--debug"}, args...)...)
		cmd.Stdout, cmd.Stderr = out, out
		code, err := execs.Run(cmd)
		text, readErr := os.ReadFile(out.Name())
		if err != nil || readErr != nil || code != 0 {
			t.Fatalf("linnet %q: exit code %d, %v, %v\n%s", args, code, err, readErr, text)
		}
		return string(text)
	}
	image := e.Busybox(t)
	inside(t, e, "mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing && echo 8192 >buffer_size_kb && echo '"+execEvent()+"' >kprobe_events && echo 1 >events/linnet/enable")
	trace := func() string { return inside(t, e, "cat /sys/kernel/tracing/trace") }

	m := scan.NewMarker()
	secrets := t.TempDir() // not below the home: what is in there is staged
	staged, shared := filepath.Join(secrets, "staged"), filepath.Join(e.User, "shared")
	for _, path := range []string{staged, shared} {
		if err := os.WriteFile(path, []byte("secret "+string(m)+" of "+path), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// A build that reads two secrets: one from a directory that the machine sees, one staged.
	dir := share(t, e)
	dockerfile := "FROM " + image + "\nRUN --mount=type=secret,id=a --mount=type=secret,id=b sh -c 'cat /run/secrets/a /run/secrets/b | wc -c >/size'\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	run("build", "-q", "--secret", "id=a,src="+staged, "--secret", "id=b,src="+shared, "-t", "secretive", dir)

	// A pull from a registry that wants a password, which the host's configuration has.
	private := passwordRegistry(t, string(m))
	e.Env = append(e.Env, "LINNET_ENGINE_REGISTRIES_INSECURE=host.docker.internal:"+private)
	login(t, e, private, string(m))
	run("pull", "--insecure-registry", "-q", "host.docker.internal:"+private+"/private")

	// The scanners find what was planted, in the same places.
	planted := scan.NewMarker()
	inside(t, e, "echo "+string(planted)+" >/var/lib/linnet/planted; echo "+string(planted)+" >/var/planted; sync")
	commands := trace()
	must(t, e, "vm", "stop")
	found, read, err := scan.Files{Roots: []string{e.Home}}.Find(planted)
	if err != nil || read < 10 {
		t.Fatalf("%d files were searched, %v", read, err)
	}
	for _, disk := range []string{"_disks/default/datadisk", "lima/default/d"} {
		if !strings.Contains(fmt.Sprint(found), disk) {
			t.Errorf("what was planted on %s was not found: %v", disk, found)
		}
	}
	if planted.In([]byte(commands)) == "" || !strings.Contains(commands, "nerdctl") {
		t.Errorf("the command lines in the machine were not recorded: %.2000s", commands)
	}
	if len(execs.All()) == 0 {
		t.Error("the command lines on the host were not recorded")
	}

	hits, _, err := scan.Files{Roots: []string{e.Home}}.Find(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range append(hits, execs.Find(m)...) {
		t.Errorf("found in %v", h)
	}
	if form := m.In([]byte(commands)); form != "" {
		t.Errorf("found on a command line in the machine (%s)", form)
	}
}

// passwordRegistry is a registry on this host with one image, and returns its port.
func passwordRegistry(t *testing.T, password string) string {
	t.Helper()
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, secret, ok := r.BasicAuth(); !ok || user != "robin" || secret != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="nest"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	port := server.URL[strings.LastIndexByte(server.URL, ':')+1:]
	ref, err := name.ParseReference("127.0.0.1:" + port + "/private")
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithAuth(&authn.Basic{Username: "robin", Password: password})); err != nil {
		t.Fatal(err)
	}
	return port
}

// login logs in on this host, to the name that the machine knows the registry by: only the
// configuration is written, as docker's login would.
func login(t *testing.T, e *lab.Engine, port, password string) {
	t.Helper()
	r := e.RunIn(t, strings.NewReader(password), "login", "-u", "robin", "--password-stdin", "127.0.0.1:"+port)
	if r.Code != 0 {
		t.Fatalf("login: %s%s", r.Out, r.Err)
	}
	path := filepath.Join(e.User, ".docker", "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	renamed := strings.ReplaceAll(string(text), "127.0.0.1:"+port, "host.docker.internal:"+port)
	if err := os.WriteFile(path, []byte(renamed), 0o600); err != nil {
		t.Fatal(err)
	}
}

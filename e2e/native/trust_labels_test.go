//go:build e2e && linux

package native_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/e2e/internal/pinned"
)

// labelled is an image that brings every label which a program that makes or manages containers reads, and what those labels
// would reach: files and volumes of the user's, a port, another project, another container.
type labelled struct {
	*lab.Engine
	image, dir string
	labels     map[string]string
	problems   []string
}

// victimPort is what a label would open; nothing else of this suite publishes it.
const victimPort = "24711"

func newLabelled(t *testing.T, e *lab.Engine) *labelled {
	t.Helper()
	l := &labelled{Engine: e, image: "linnet-test/labelled", dir: t.TempDir(), labels: map[string]string{}}
	names, err := pinned.Labels(t.Context(), lab.SourceRoot())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"state", "state/sub"} {
		l.write(t, dir+"/file", "of value")
	}
	l.write(t, "pid", "of value")
	for _, name := range names {
		l.labels[name] = "canary-" + strings.ReplaceAll(name, "/", "-")
	}
	// What each would do something with, in the form that it is read in.
	for name, value := range map[string]string{
		"nerdctl/pid-file": filepath.Join(l.dir, "pid"), "nerdctl/state-dir": filepath.Join(l.dir, "state"),
		"nerdctl/anonymous-volumes": `["precious"]`, "nerdctl/auto-remove": "true", "nerdctl/networks": `["bridge"]`,
		"nerdctl/ports":      `[{"HostPort":` + victimPort + `,"ContainerPort":80,"Protocol":"tcp","HostIP":"127.0.0.1"}]`,
		"nerdctl/mounts":     `[{"Type":"volume","Name":"precious","Source":"/","Destination":"/x"}]`,
		"nerdctl/mounts.0":   `{"Type":"volume","Name":"precious","Source":"/","Destination":"/x"}`,
		"nerdctl/extraHosts": `["canary:203.0.113.1"]`, "nerdctl/healthcheck": `{"Test":["CMD-SHELL","touch /canary"],"Interval":1000000000}`,
		"nerdctl/ipc": `{"mode":"host"}`, "nerdctl/host-config": `{"CidFile":"` + filepath.Join(l.dir, "pid") + `"}`,
		"com.docker.compose.project": "victim", "com.docker.compose.service": "web", "nerdctl/privileged": "true",
	} {
		l.labels[name] = value
	}
	context := t.TempDir()
	if err := os.WriteFile(filepath.Join(context, "Dockerfile"), []byte("FROM "+e.Busybox(t)+"\n"+l.instruction()), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "build", "-q", "-t", l.image, context)
	e.Must(t, "volume", "create", "precious")
	e.Must(t, "run", "--rm", "--network=none", "-v", "precious:/v", l.image, "sh", "-c", "echo of value > /v/file")
	return l
}

func (l *labelled) instruction() string {
	var b strings.Builder
	for name, value := range l.labels {
		quoted, _ := json.Marshal(value) // a string
		fmt.Fprintf(&b, "LABEL %q=%s\n", name, strings.ReplaceAll(string(quoted), "$", `\$`))
	}
	return b.String() + "LABEL kept=\"by the user\"\n"
}

func (l *labelled) write(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (l *labelled) bad(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// look compares a container's labels with the image's, and sees whether anything was reached.
func (l *labelled) look(t *testing.T, when, container string) {
	t.Helper()
	if container != "" {
		r := l.Run(t, "container", "inspect", "--format", "{{json .Config.Labels}}", container)
		var have map[string]string
		if err := json.Unmarshal([]byte(r.Out), &have); err != nil {
			l.bad("%s: inspect: %v %s", when, err, r.Err)
		}
		for name, value := range l.labels {
			if have[name] == value && name != "nerdctl/networks" { // that one is the same by right
				l.bad("%s: the container has the image's %s=%.40s", when, name, value)
			}
		}
		if have["kept"] != "by the user" {
			l.bad("%s: an ordinary label of the image is gone", when)
		}
	}
	for _, name := range []string{"pid", "state/file", "state/sub/file"} {
		if text, err := os.ReadFile(filepath.Join(l.dir, name)); err != nil || string(text) != "of value" {
			l.bad("%s: %s on the host is %q, %v", when, name, text, err)
		}
	}
	if r := l.Run(t, "run", "--rm", "--network=none", "-v", "precious:/v", "linnet-test/busybox", "cat", "/v/file"); r.Out != "of value\n" {
		l.bad("%s: the volume is %q %s", when, r.Out, r.Err)
	}
	rules, err := lab.InNetns(t.Context(), l.Netns, "iptables-save").Output()
	if err != nil || strings.Contains(string(rules), victimPort) {
		l.bad("%s: a port was opened, %v", when, err)
	}
}

// steer does everything that reads labels with containers of the image, and returns what it saw.
func (l *labelled) steer(t *testing.T) []string {
	t.Helper()
	l.Run(t, "run", "-d", "--name", "ran", l.image, "sleep", "infinity")
	l.look(t, "run", "ran")
	l.Run(t, "restart", "-t", "0", "ran")
	l.look(t, "restart", "ran")
	l.Run(t, "stop", "-t", "0", "ran")
	l.Run(t, "start", "ran")
	l.look(t, "start", "ran")
	l.Run(t, "commit", "ran", "linnet-test/committed")
	l.Run(t, "run", "-d", "--network=none", "--name", "committed", "linnet-test/committed", "sleep", "infinity")
	l.look(t, "commit", "committed")
	archive := filepath.Join(t.TempDir(), "image.tar")
	l.Run(t, "save", "-o", archive, l.image)
	l.Run(t, "rmi", "-f", l.image)
	l.Run(t, "load", "-i", archive)
	l.Run(t, "create", "--network=none", "--name", "loaded", l.image, "true")
	l.look(t, "load and create", "loaded")
	if r := l.Run(t, "compose", "-p", "victim", "ps", "-q"); strings.TrimSpace(r.Out) != "" {
		l.bad("compose takes for a project's: %s", r.Out)
	}
	l.compose(t)
	l.Run(t, "container", "prune", "-f")
	l.look(t, "prune", "")
	if ids := l.Run(t, "ps", "-q"); len(strings.Fields(ids.Out)) < 2 {
		l.bad("what runs was removed: %q", ids.Out)
	}
	l.Run(t, "rm", "-f", "-v", "ran", "committed")
	l.look(t, "rm", "")
	l.Run(t, "run", "--rm", "--network=none", l.image, "true")
	l.look(t, "run --rm", "")
	l.Run(t, "volume", "prune", "-f")
	l.look(t, "volume prune", "")
	return l.problems
}

// checked reports whether a container gets a health check of a label of its image.
func (l *labelled) checked(t *testing.T) bool {
	t.Helper()
	dir := t.TempDir()
	text := "FROM linnet-test/busybox\nLABEL nerdctl/healthcheck='{\"Test\":[\"CMD-SHELL\",\"true\"]}'\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Must(t, "build", "-q", "-t", "linnet-test/checked", dir)
	l.Must(t, "create", "--network=none", "--name", "checked", "linnet-test/checked", "true")
	return strings.Contains(l.Must(t, "container", "inspect", "--format", "{{json .Config.Labels}}", "checked"), "CMD-SHELL")
}

func (l *labelled) compose(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	text := "services:\n  one:\n    image: " + l.image + "\n    network_mode: none\n    command: [sleep, infinity]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Run(t, "compose", "-p", "own", "-f", file, "up", "-d")
	id := strings.TrimSpace(l.Run(t, "compose", "-p", "own", "-f", file, "ps", "-q").Out)
	l.look(t, "compose up", id)
	l.Run(t, "compose", "-p", "own", "-f", file, "down")
	l.look(t, "compose down", "")
}

// TestLabelsOfImagesSteerNothing: no label of an image has an effect on the engine, whatever is done with it. Without the mends
// that see to it, the same test finds effects.
func TestLabelsOfImagesSteerNothing(t *testing.T) {
	t.Parallel()
	l := newLabelled(t, lab.New(t))
	for _, problem := range l.steer(t) {
		t.Error(problem)
	}
	if l.checked(t) {
		t.Error("a label was taken for a health check")
	}
	t.Run("Unmended", func(t *testing.T) {
		e := lab.New(t)
		e.Env = append(e.Env, lab.Unmended(t, "nerdctl", "image-labels", "image-health-label"))
		l := newLabelled(t, e)
		l.Run(t, "run", "-d", "--name", "ran", l.image, "sleep", "infinity")
		if l.look(t, "run", ""); len(l.problems) == 0 {
			t.Error("without the mend image-labels nothing is seen")
		}
		if !l.checked(t) {
			t.Error("without the mend image-health-label nothing is seen")
		}
	})
}

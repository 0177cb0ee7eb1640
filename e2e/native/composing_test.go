//go:build e2e && linux

package native_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// composing is a compose project of one test.
type composing struct {
	*testing.T
	e         *lab.Engine
	base, dir string
	name      string
}

// newComposing has a name of its own, so that its containers are; they are removed in the end.
func newComposing(t *testing.T, e *lab.Engine) composing {
	t.Helper()
	dir := t.TempDir()
	p := composing{T: t, e: e, base: e.Busybox(t), dir: dir, name: strings.ToLower("cb" + strings.ReplaceAll(filepath.Base(filepath.Dir(dir)), "_", ""))}
	return p
}

// file writes a file of the project, with BASE as an image to build from.
func (p composing) file(name, text string) {
	p.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "BASE", p.base)), 0o644); err != nil {
		p.Fatal(err)
	}
}

// app makes a project with one service of that name, by a Dockerfile and further lines of its
// build section.
func (p composing) app(dockerfile, section string) {
	p.Helper()
	p.file("Dockerfile", dockerfile)
	p.file("compose.yaml", "services:\n  app:\n    command: sleep 1000\n    network_mode: none\n    build:\n      context: .\n      "+strings.ReplaceAll(section, "\n", "\n      ")+"\n")
}

// compose runs a command of compose in the project.
func (p composing) compose(args ...string) lab.Result {
	p.Helper()
	return p.e.Run(p, append([]string{"compose", "-f", filepath.Join(p.dir, "compose.yaml"), "-p", p.name}, args...)...)
}

// must is compose that has to succeed; all of its output comes back.
func (p composing) must(args ...string) string {
	p.Helper()
	r := p.compose(args...)
	if r.Code != 0 {
		p.Fatalf("compose %q: exit code %d\n%s%s", args, r.Code, r.Out, r.Err)
	}
	return r.Out + r.Err
}

// build builds all, shown plainly.
func (p composing) build(args ...string) string {
	p.Helper()
	return p.must(append([]string{"build", "--progress=plain"}, args...)...)
}

// with is the project with more in the environment.
func (p composing) with(env ...string) composing {
	e := *p.e
	e.Env = append(slices.Clone(e.Env), env...)
	p.e = &e
	return p
}

// inspect shows the image of the service app.
func (p composing) inspect(format string) string {
	p.Helper()
	return p.e.Must(p, "image", "inspect", "--format", format, p.name+"-app")
}

func (p composing) has(text string, wants ...string) {
	p.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			p.Errorf("%q is not in\n%s", want, text)
		}
	}
}

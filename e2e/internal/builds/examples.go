//go:build e2e

package builds

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// example is one project of examples/build, in a directory of the case's own.
type example struct{ place }

// Examples follows the commands of each project of examples/build and looks at what came of
// them. A project without a case fails, and so does a case without a project.
func Examples(t *testing.T, target Target) {
	top := filepath.Join(lab.Root(), "examples", "build")
	entries, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, entry := range entries {
		if entry.IsDir() {
			dirs = append(dirs, entry.Name())
		}
	}
	index, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	follow := func(name string) bool {
		return t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(index), "("+name+"/Dockerfile)") {
				t.Error("examples/build/README.md does not name it")
			}
			try := exampleCases[name]
			if try == nil {
				t.Fatal("it has no case in exampleCases: what is to be seen when it is built?")
			}
			dir := filepath.Join(t.TempDir(), name)
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(top, name))); err != nil {
				t.Fatal(err)
			}
			try(example{place{T: t, Target: target, name: name, dir: dir}})
		})
	}
	if !follow("base") {
		t.Fatal("the others stand on it")
	}
	for _, name := range dirs {
		if name != "base" {
			follow(name)
		}
	}
	for name := range exampleCases {
		if !slices.Contains(dirs, name) {
			t.Errorf("there is no example %s any more", name)
		}
	}
}

// follow runs the commands of the comment that the Dockerfile begins with, those behind "#" and
// three spaces, as a reader would, and returns all that they say.
func (x example) follow(env ...string) string {
	x.Helper()
	var script strings.Builder
	for line := range strings.Lines(x.read(filepath.Join(x.dir, "Dockerfile"))) {
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			break
		}
		if command, ok := strings.CutPrefix(line, "#   "); ok {
			script.WriteString(command)
		}
	}
	if script.Len() == 0 {
		x.Fatal("its Dockerfile does not say how to build it")
	}
	return x.sh(env, script.String())
}

// sh runs a script in the project's directory, with linnet on the path.
func (x example) sh(env []string, script string) string {
	x.Helper()
	ctx, cancel := context.WithTimeout(x.Context(), lab.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = x.dir
	cmd.Env = append(append(x.Engine.Environ(), "PATH="+filepath.Dir(lab.Linnet())+":"+os.Getenv("PATH")+":/usr/local/go/bin"), env...)
	// What has been said is kept in its order.
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		x.Fatalf("%s\n%v\n%s", script, err, &said)
	}
	return said.String()
}

// is compares a file of the project's directory.
func (x example) is(path, want string) {
	x.Helper()
	if got := x.read(filepath.Join(x.dir, path)); got != want {
		x.Errorf("%s is\n%s\nand not\n%s", path, got, want)
	}
}

// gone fails the test when a file is there.
func (x example) gone(paths ...string) {
	x.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(filepath.Join(x.dir, path)); err == nil {
			x.Errorf("%s is there", path)
		}
	}
}

// tree compares the files of a directory.
func (x example) tree(path, want string) {
	x.Helper()
	got := strings.Join(strings.Fields(x.sh(nil, "cd "+path+" && find . -type f -printf '%P\n' | LC_ALL=C sort")), " ")
	if got != want {
		x.Errorf("in %s are %s, and not %s", path, got, want)
	}
}

func (x example) write(path, text string) {
	x.Helper()
	if err := os.WriteFile(filepath.Join(x.dir, path), []byte(text), 0o644); err != nil {
		x.Fatal(err)
	}
}

// ends compares what was said last.
func (x example) ends(said, want string) {
	x.Helper()
	if !strings.HasSuffix(said, want) {
		x.Errorf("it does not end with\n%s\nbut says\n%s", want, said)
	}
}

// runs is what a container of an image prints.
func (x example) runs(image string, command ...string) string {
	x.Helper()
	r := x.Engine.Run(x, append([]string{"run", "--rm", "--network", "none", image}, command...)...)
	if r.Code != 0 {
		x.Fatalf("%s %q: exit code %d\n%s", image, command, r.Code, r.Err)
	}
	return r.Out
}

// prints compares it.
func (x example) prints(image, want string, command ...string) {
	x.Helper()
	if got := x.runs(image, command...); got != want {
		x.Errorf("%s %q prints %q and not %q", image, command, got, want)
	}
}

// config looks for texts in what an image says of itself.
func (x example) config(image string, wants ...string) {
	x.Helper()
	x.has(x.Engine.Must(x, "image", "inspect", "--format", "{{json .Config}}", image), wants...)
}

// asks builds with a step that has an SSH agent list its keys, for which busybox has no program.
func (x example) asks(socket string) {
	x.Helper()
	const program = `package main

import ("bytes"; "encoding/binary"; "fmt"; "io"; "net"; "os")

func main() {
	conn, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	if err != nil { panic(err) }
	if _, err := conn.Write([]byte{0, 0, 0, 1, 11}); err != nil { panic(err) }
	var length uint32
	if err := binary.Read(conn, binary.BigEndian, &length); err != nil { panic(err) }
	answer := make([]byte, length)
	if _, err := io.ReadFull(conn, answer); err != nil { panic(err) }
	fmt.Println("the answer is of type", answer[0], "and names the key:", bytes.HasSuffix(answer, []byte("test")))
}
`
	x.write("ask.go", program)
	// In the real home, where the compiler has its cache.
	x.sh([]string{"CGO_ENABLED=0", "HOME=" + os.Getenv("HOME")}, "go build -o ask ask.go")
	x.write("Dockerfile", "FROM scratch\nCOPY ask /\nRUN --mount=type=ssh,required=true [\"/ask\"]\n")
	r := x.Engine.Run(x, "build", "--progress=plain", "--no-cache", "--ssh", "default="+socket, x.dir)
	x.has(r.Err, "the answer is of type 12 and names the key: true")
}

// refused builds without --allow.
func (x example) refused(right string) {
	x.Helper()
	r := x.Engine.Run(x, "build", x.dir)
	if r.Code == 0 || !strings.Contains(r.Err, "asks for "+right+", which is not allowed") {
		x.Errorf("without --allow %s: exit code %d\n%s", right, r.Code, r.Err)
	}
}

// statement is the provenance of an OCI layout's image, in one line.
func (x example) statement(layout string) string {
	x.Helper()
	blobs, err := filepath.Glob(filepath.Join(x.dir, layout, "blobs", "sha256", "*"))
	if err != nil {
		x.Fatal(err)
	}
	for _, blob := range blobs {
		text := x.read(blob)
		if strings.HasPrefix(text, "{") && strings.Contains(text, `"predicateType"`) && strings.Contains(text, `"predicate":`) {
			var line bytes.Buffer
			if err := json.Compact(&line, []byte(text)); err != nil {
				x.Fatal(err)
			}
			return line.String()
		}
	}
	x.Fatalf("%s has no statement", layout)
	return ""
}

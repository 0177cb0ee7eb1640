// bench measures linnet beside what it stands on, in one run: the commands of each group
// take turns, so that a machine whose speed changes changes it for all of them. It prints medians, and
// beside each the budget that docs/architecture.md sets.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

func main() {
	rounds := flag.Int("n", 30, "rounds of each group")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	b := &bench{rounds: *rounds}
	if err := b.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(b.results)
		return
	}
	b.print(os.Stdout)
}

// command is one contestant.
type command struct {
	Name string
	argv []string
	env  []string
	// within is the budget over the group's first command, 0 for none.
	within time.Duration
}

// result is what was measured of a command.
type result struct {
	Group   string        `json:"group"`
	Name    string        `json:"name"`
	Wall    time.Duration `json:"wallNanos"`
	CPU     time.Duration `json:"cpuNanos"`
	Over    time.Duration `json:"overFirstNanos"`
	Budget  time.Duration `json:"budgetNanos,omitempty"`
	Spread  time.Duration `json:"spreadNanos"`
	Correct bool          `json:"sameOutput"`
}

type bench struct {
	rounds  int
	engine  *lab.Engine
	results []result
	dir     string
}

func (b *bench) run() (err error) {
	if b.dir, err = os.MkdirTemp("", "linnet-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	hello, err := b.hello()
	if err != nil {
		return err
	}
	engine, done, err := lab.Open()
	if err != nil {
		return err
	}
	defer done()
	b.engine = engine
	linnet, nerdctl := lab.Linnet(), filepath.Join(lab.Root(), "libexec", "linnet", "bin", "nerdctl")
	warm := exec.Command(linnet, "ps")
	warm.Env = engine.Environ()
	if out, err := warm.CombinedOutput(); err != nil {
		return fmt.Errorf("starting the engine: %w\n%s", err, out)
	}
	env := engine.Environ()
	toml := "NERDCTL_TOML=" + filepath.Join(engine.Home, "native", "etc", "nerdctl.toml")
	empty := filepath.Join(b.dir, "libexec")
	groups := []struct {
		name     string
		same     bool
		commands []command
	}{
		{"start-up, no engine needed", false, []command{
			{"a Go hello", []string{hello}, env, 0},
			{"linnet version", []string{linnet, "version"}, env, 6 * time.Millisecond},
			{"linnet config show", []string{linnet, "config", "show"}, env, 6 * time.Millisecond},
		}},
		{"the forward path alone (nerdctl replaced by the hello)", true, []command{
			{"a Go hello", []string{hello}, env, 0},
			{"linnet ps -> hello", []string{linnet, "ps"}, append(slices.Clone(env), "LINNET_LIBEXEC="+empty), 6 * time.Millisecond},
			{"linnet run ... -> hello", []string{linnet, "run", "--rm", "-e", "A=b", "-v", "/tmp:/src", "-p", "127.0.0.1:1:1", "image", "sh"}, append(slices.Clone(env), "LINNET_LIBEXEC="+empty), 6 * time.Millisecond},
		}},
		{"a forwarded command, native", true, []command{
			{"nerdctl ps", []string{nerdctl, "ps"}, append(slices.Clone(env), toml), 0},
			{"linnet ps", []string{linnet, "ps"}, env, 8 * time.Millisecond},
			{"linnet nerdctl ps", []string{linnet, "nerdctl", "ps"}, env, 8 * time.Millisecond},
		}},
	}
	if err := os.MkdirAll(filepath.Join(empty, "bin"), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(hello, filepath.Join(empty, "bin", "nerdctl")); err != nil {
		return err
	}
	for _, g := range groups {
		if err := b.group(g.name, g.same, g.commands); err != nil {
			return err
		}
	}
	return nil
}

// hello builds the program that every budget is counted from.
func (b *bench) hello() (string, error) {
	source := filepath.Join(b.dir, "hello.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(\"hello\\n\") }\n"), 0o644); err != nil {
		return "", err
	}
	out := filepath.Join(b.dir, "hello")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", out, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the hello: %w\n%s", err, text)
	}
	return out, nil
}

// group runs the commands in turn and notes their medians.
func (b *bench) group(name string, same bool, commands []command) error {
	walls := make([][]time.Duration, len(commands))
	cpus := make([][]time.Duration, len(commands))
	outputs := make([][]byte, len(commands))
	for round := -2; round < b.rounds; round++ {
		for i, c := range commands {
			var out bytes.Buffer
			cmd := exec.Command(c.argv[0], c.argv[1:]...)
			cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &out, &out
			begun := time.Now()
			err := cmd.Run()
			wall := time.Since(begun)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", c.Name, err, &out)
			}
			if round < 0 {
				continue // warming up
			}
			walls[i] = append(walls[i], wall)
			cpus[i] = append(cpus[i], cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
			outputs[i] = out.Bytes()
		}
	}
	first := median(walls[0])
	for i, c := range commands {
		if same && !bytes.Equal(outputs[i], outputs[0]) {
			return fmt.Errorf("%s: its output is not that of %s:\n%s\n%s", c.Name, commands[0].Name, outputs[i], outputs[0])
		}
		b.results = append(b.results, result{
			Group: name, Name: c.Name, Wall: median(walls[i]), CPU: median(cpus[i]),
			Over: median(walls[i]) - first, Budget: c.within, Spread: spread(walls[i]), Correct: same,
		})
	}
	return nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

// spread is the distance of the quartiles.
func spread(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)*3/4] - d[len(d)/4]
}

func (b *bench) print(w io.Writer) {
	fmt.Fprintf(w, "medians of %d interleaved rounds; over: above the first of the group\n", b.rounds)
	group := ""
	for _, r := range b.results {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(w, "\n%s\n  %-26s %9s %9s %9s %9s\n", group, "", "wall", "quartiles", "cpu", "over")
		}
		verdict := ""
		if r.Budget > 0 {
			verdict = "within the budget of " + r.Budget.String()
			if r.Over > r.Budget {
				verdict = "OVER the budget of " + r.Budget.String()
			}
		}
		fmt.Fprintf(w, "  %-26s %9s %9s %9s %9s  %s\n", r.Name, ms(r.Wall), ms(r.Spread), ms(r.CPU), ms(r.Over), verdict)
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

//go:build linux

// bench measures linnet beside what it stands on, in one run: the commands of each group
// take turns, so that a machine whose speed changes changes it for all of them. It prints medians, and
// beside each the budget that docs/architecture.md sets.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

func main() {
	rounds := flag.Int("n", 30, "rounds of each group")
	asJSON := flag.Bool("json", false, "print JSON")
	inVM := flag.Bool("vm", false, "measure in a virtual machine, as an ordinary user that is made")
	only := flag.String("only", "", "only these parts, by comma: start, build, docker; in a virtual machine also throughput, boot")
	smaller := flag.Int("smaller", 8, "what the sizes of builds are divided by in a virtual machine, which may be emulated")
	starts := flag.Int("starts", 3, "rounds of starting the virtual machine")
	against := flag.String("against", "", "measure `ps` and `run` beside the linnet of this tree (bin and libexec), and nothing else; in 40 rounds unless -n says another number")
	flag.Parse()
	if *inVM && os.Geteuid() == 0 {
		os.Exit(lab.AsUser([]string{"build", "image"}, nil))
	}
	b := &bench{rounds: *rounds, starts: *starts, smaller: max(*smaller, 1)}
	if *against != "" && !isSet("n") {
		b.rounds = 40
	}
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	measure := b.run
	switch {
	case *inVM:
		measure = b.runVM
	case *against != "":
		measure = func() error { return b.runAgainst(*against) }
	}
	err := measure()
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(b.results)
	} else {
		b.print(os.Stdout)
	}
	if err = errors.Join(err, errors.Join(b.differ...)); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// command is one contestant.
type command struct {
	Name string
	argv []string
	env  []string
	// then is run after argv, and what it takes is added; nil is nothing.
	then []string
	// within is the budget over the group's first command, 0 for none.
	within time.Duration
	// ratio is the budget as a part of the group's first command, 0 for none.
	ratio float64
	// before is done before each round, outside of the measure; nil is nothing.
	before func() error
	// stdin is what the command reads, opened for each round; empty is nothing.
	stdin string
	// inside takes the measure from what the command printed, and gives the rest back; nil
	// measures the command itself.
	inside func(out []byte) (time.Duration, []byte, error)
}

// result is what was measured of a command.
type result struct {
	Group   string        `json:"group"`
	Name    string        `json:"name"`
	Wall    time.Duration `json:"wallNanos"`
	CPU     time.Duration `json:"cpuNanos"`
	Over    time.Duration `json:"overFirstNanos"`
	Budget  time.Duration `json:"budgetNanos,omitempty"`
	Ratio   float64       `json:"ofFirst"`
	Within  float64       `json:"budgetOfFirst,omitempty"`
	Spread  time.Duration `json:"spreadNanos"`
	Correct bool          `json:"sameOutput"`
}

type bench struct {
	rounds  int
	starts  int
	smaller int // in a virtual machine
	engine  *lab.Engine
	results []result
	peaks   []peak
	// differ are the commands whose output is not that of the first of their group: a measure of something else.
	differ []error
	dir    string
	only   []string // of the parts; none are all
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
	warm := exec.Command(lab.Linnet(), "engine", "start")
	warm.Env = engine.Environ()
	if out, err := warm.CombinedOutput(); err != nil {
		return fmt.Errorf("starting the engine: %w\n%s", err, out)
	}
	empty := filepath.Join(b.dir, "libexec")
	if err := os.MkdirAll(filepath.Join(empty, "bin"), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(hello, filepath.Join(empty, "bin", "nerdctl")); err != nil {
		return err
	}
	var failed []error // the other groups are measured all the same
	x := native(engine, filepath.Join(b.dir, "builds"))
	if b.has("start") {
		for _, g := range b.startGroups(hello, empty) {
			failed = append(failed, b.group(g.name, g.same, g.commands))
		}
		failed = append(failed, x.container(b))
	}
	if b.has("build") {
		failed = append(failed, b.builds(x), x.memory(b))
	}
	if b.has("docker") {
		failed = append(failed, b.docker())
	}
	return errors.Join(failed...)
}

// group is what is timed side by side.
type group struct {
	name     string
	same     bool
	commands []command
}

// startGroups are the groups of short commands. empty has the hello in nerdctl's place.
func (b *bench) startGroups(hello, empty string) []group {
	linnet, nerdctl := lab.Linnet(), filepath.Join(lab.Root(), "libexec", "linnet", "bin", "nerdctl")
	env := b.engine.Environ()
	toml := "NERDCTL_TOML=" + filepath.Join(b.engine.Home, "native", "etc", "nerdctl.toml")
	return []group{
		{"start-up, no engine needed", false, []command{
			{Name: "a Go hello", argv: []string{hello}, env: env, within: 0},
			{Name: "linnet version", argv: []string{linnet, "version"}, env: env, within: 6 * time.Millisecond},
			{Name: "linnet config show", argv: []string{linnet, "config", "show"}, env: env, within: 6 * time.Millisecond},
		}},
		{"the forward path alone (nerdctl replaced by the hello)", true, []command{
			{Name: "a Go hello", argv: []string{hello}, env: env, within: 0},
			{Name: "linnet ps -> hello", argv: []string{linnet, "ps"}, env: append(slices.Clone(env), "LINNET_LIBEXEC="+empty), within: 6 * time.Millisecond},
			{Name: "linnet run ... -> hello", argv: []string{linnet, "run", "--rm", "-e", "A=b", "-v", "/tmp:/src", "-p", "127.0.0.1:1:1", "image", "sh"}, env: append(slices.Clone(env), "LINNET_LIBEXEC="+empty), within: 6 * time.Millisecond},
		}},
		{"a forwarded command, native", true, []command{
			{Name: "nerdctl ps", argv: []string{nerdctl, "ps"}, env: append(slices.Clone(env), toml), within: 0},
			{Name: "linnet ps", argv: []string{linnet, "ps"}, env: env, within: 8 * time.Millisecond},
			{Name: "linnet nerdctl ps", argv: []string{linnet, "nerdctl", "ps"}, env: env, within: 8 * time.Millisecond},
		}},
	}
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
	outputs := make([]output, len(commands))
	for round := -2; round < b.rounds; round++ {
		for turn := range commands {
			i := (turn + round + 2) % len(commands) // each is first as often as the others
			c := commands[i]
			wall, cpu, out, err := c.measure()
			if err != nil {
				return fmt.Errorf("%s: %s: %w\n%s%s", name, c.Name, err, out.printed, out.said)
			}
			if round < 0 {
				continue // warming up
			}
			walls[i] = append(walls[i], wall)
			cpus[i] = append(cpus[i], cpu)
			outputs[i] = out
		}
	}
	first := median(walls[0])
	for i, c := range commands {
		equal := !same || bytes.Equal(outputs[i].printed, outputs[0].printed)
		if !equal {
			b.differ = append(b.differ, fmt.Errorf("%s: the output of %s is not that of %s:\n%s\n%s", name, c.Name, commands[0].Name, outputs[i].printed, outputs[0].printed))
		}
		b.results = append(b.results, result{
			Group: name, Name: c.Name, Wall: median(walls[i]), CPU: median(cpus[i]),
			Over: median(walls[i]) - first, Budget: c.within, Spread: spread(walls[i]), Correct: same && equal,
			Ratio: float64(median(walls[i])) / float64(first), Within: c.ratio,
		})
	}
	return nil
}

// measure runs the command once.
func (c command) measure() (wall, cpu time.Duration, out output, err error) {
	if c.before != nil {
		if err := c.before(); err != nil {
			return 0, 0, out, err
		}
	}
	wall, cpu, out, err = c.once(c.argv)
	if err != nil || c.then == nil {
		return wall, cpu, out, err
	}
	wall2, cpu2, more, err := c.once(c.then)
	return wall + wall2, cpu + cpu2, output{append(out.printed, more.printed...), append(out.said, more.said...)}, err
}

// output is what a command has written to its standard output, and to its standard error: remarks there, such as
// nerdctl's that a signal came too late for a container, make no difference.
type output struct{ printed, said []byte }

func (c command) once(argv []string) (wall, cpu time.Duration, out output, err error) {
	var text, said bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &text, &said
	if c.stdin != "" {
		in, err := os.Open(c.stdin)
		if err != nil {
			return 0, 0, out, err
		}
		defer in.Close()
		cmd.Stdin = in
	}
	begun := time.Now()
	err = cmd.Run()
	wall, out = time.Since(begun), output{text.Bytes(), said.Bytes()}
	if err == nil && c.inside != nil {
		wall, out.printed, err = c.inside(out.printed)
	}
	return wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), out, err
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
			fmt.Fprintf(w, "\n%s\n  %-34s %9s %9s %9s %9s\n", group, "", "wall", "quartiles", "cpu", "over")
		}
		verdict := ""
		if r.Budget > 0 {
			verdict = "within the budget of " + r.Budget.String()
			if r.Over > r.Budget {
				verdict = "OVER the budget of " + r.Budget.String()
			}
		}
		if r.Within > 0 {
			verdict = fmt.Sprintf("%.2f of the first, within the budget of %.2f", r.Ratio, r.Within)
			if r.Ratio > r.Within {
				verdict = fmt.Sprintf("%.2f of the first, OVER the budget of %.2f", r.Ratio, r.Within)
			}
		}
		fmt.Fprintf(w, "  %-34s %9s %9s %9s %9s  %s\n", r.Name, ms(r.Wall), ms(r.Spread), ms(r.CPU), ms(r.Over), verdict)
	}
	for _, p := range b.peaks {
		verdict := "within"
		if p.Bytes > p.Budget {
			verdict = "OVER"
		}
		fmt.Fprintf(w, "\nmemory: %s: %d MiB at most, %s the budget of %d MiB\n", p.Name, p.Bytes>>20, verdict, p.Budget>>20)
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

package guesttest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// containers runs the cases that make no difference between a process and a container once
// more inside containers, then those that only containers have.
func (s *suite) containers(t *testing.T) {
	inside := &suite{Target: s.Target, guest: s.guest, wrap: s.inContainer}
	inside.Shell = []string{"/bin/sh"}
	inside.runAll(t, []testCase{
		{"ExitCodes", containerExitCodes},
		{"Argv", argv},
		{"Environment", environment},
		{"EnvironmentNames", environmentNames},
		{"StreamsApart", streamsApart},
		{"StreamsAreNoTerminal", streamsAreNoTerminal},
		{"EightBitClean", containerEightBitClean},
		{"Dialogue", dialogue},
		{"InputEnds", containerInputEnds},
	})
	s.runAll(t, containerCases)
}

// attachedRun is the command line of an attached container. The nerdctl that is pinned
// starts a logger for each, which stops reading when the container has ended: what it still
// had to read then blocks nerdctl for ever. That is no guest's doing, so there is no logger.
func attachedRun(name string) []string {
	return []string{"nerdctl", "run", "--rm", "--network", "none", "--log-driver", "none", "--name", name}
}

// inContainer makes p a container's only process. What p has in its environment crosses as the container's variables.
func (s *suite) inContainer(t *testing.T, p guest.Process) guest.Process {
	t.Helper()
	name := s.name(t)
	argv := attachedRun(name)
	if p.Stdin != nil {
		argv = append(argv, "-i")
		p.Stdin = &gate{r: p.Stdin, open: func() { s.untilRuns(t.Context(), name) }}
	}
	if p.TTY != nil {
		argv = append(argv, "-t")
	}
	p.Variables, p.Env = p.Env, nil
	p.Argv = slices.Concat(argv, []string{s.Image}, p.Argv)
	return p
}

// nerdctl runs nerdctl and returns its exit code and what it wrote.
func (s *suite) nerdctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return s.run(t, guest.Process{Argv: append([]string{"nerdctl"}, args...)})
}

// must runs a nerdctl that has to succeed and returns its output without the last newline.
func (s *suite) must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, stderr := s.nerdctl(t, args...)
	if code != 0 {
		t.Fatalf("nerdctl %q: exit code %d, stderr %q", args, code, stderr)
	}
	return strings.TrimSuffix(out, "\n")
}

// name is one for a container that is gone when the test is over.
func (s *suite) name(t *testing.T) string {
	t.Helper()
	name := "guesttest-" + strings.ToLower(rand.Text()[:12])
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), s.deadline())
		defer cancel()
		err := s.guest.Run(ctx, guest.Process{Argv: []string{"nerdctl", "rm", "-f", name}})
		// One that is gone already may be an error of nerdctl's.
		if _, ran := guest.ExitCode(err); err != nil && !ran {
			t.Errorf("removing the container %s: %v", name, err)
		}
	})
	return name
}

// detached starts a container that runs script in the background.
func (s *suite) detached(t *testing.T, script string, flags ...string) (name string) {
	t.Helper()
	name = s.name(t)
	s.must(t, slices.Concat([]string{"run", "-d", "--name", name}, flags, []string{s.Image, "/bin/sh", "-c", script})...)
	return name
}

// foreground is a script of an attached container, with flags before its image.
func (s *suite) foreground(name, script string, flags ...string) guest.Process {
	return guest.Process{Argv: slices.Concat(attachedRun(name), flags, []string{s.Image, "/bin/sh", "-c", script})}
}

// gate is an input that begins when open returns. nerdctl forgets an end of input that comes
// before the container runs, and the container then waits for ever.
type gate struct {
	r    io.Reader
	open func()
	once sync.Once
}

func (g *gate) Read(p []byte) (int, error) {
	g.once.Do(g.open)
	return g.r.Read(p)
}

// untilRuns returns when the container runs, or when there is no use in waiting any longer.
func (s *suite) untilRuns(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, s.deadline())
	defer cancel()
	for ctx.Err() == nil {
		var out strings.Builder
		p := guest.Process{Argv: []string{"nerdctl", "inspect", "--format", "{{.State.Status}}", name}, Stdout: &out}
		if s.guest.Run(ctx, p) == nil && out.String() == "running\n" {
			return
		}
	}
}

var containerCases = []testCase{
	{"ExitCodeWhenKilled", containerKilled},
	{"NoSuchCommand", containerNoSuchCommand},
	{"Exec", containerExec},
	{"ExecTerminal", containerExecTerminal},
	{"Terminal", containerTerminal},
	{"TerminalInterrupt", containerInterrupt},
	{"SignalsToTheClient", containerSignals},
	{"SignalsByKill", containerKill},
	{"CancelledIsRemoved", containerCancelled},
	{"BindMount", bindMount},
	{"BindMountReadOnly", bindMountReadOnly},
	{"PublishedPort", publishedPort},
	{"TakenPort", takenPort},
}

func containerExitCodes(t *testing.T, s *suite) {
	for _, want := range []int{0, 1, 125, 126, 127, 137} {
		if code, _, stderr := s.run(t, s.sh(fmt.Sprintf("exit %d", want))); code != want {
			t.Errorf("exit %d came back as %d, stderr %q", want, code, stderr)
		}
	}
}

func containerEightBitClean(t *testing.T, s *suite) {
	data := string(noise())
	for name, redirect := range map[string]string{"stdout": "", "stderr": " >&2"} {
		p := s.sh(fmt.Sprintf("head -c %d%s; read -r ack; exit 7", len(data), redirect))
		p.Stdin = strings.NewReader(data)
		code, out, stderr := s.acknowledged(t, p, func(out, stderr string) bool { return len(out)+len(stderr) >= len(data) })
		if code != 7 || out+stderr != data || (out == "") != (name == "stderr") {
			t.Errorf("%s: exit code %d, %d bytes on stdout, %d on stderr, different at %d", name, code, len(out), len(stderr), diff(out+stderr, data))
		}
	}
	p := s.sh(fmt.Sprintf("head -c %d | sha256sum", len(data)))
	p.Stdin = unended(t, data)
	if _, out, _ := s.run(t, p); !strings.HasPrefix(out, fmt.Sprintf("%x", sha256.Sum256([]byte(data)))) {
		t.Errorf("over there, the checksum is %q", out)
	}
}

func containerInputEnds(t *testing.T, s *suite) {
	r, w := io.Pipe()
	p := s.sh(`read -r l; echo "got $l"; cat; echo ended`)
	p.Stdin = r
	x := s.start(t, p)
	if _, err := io.WriteString(w, "line\n"); err != nil {
		t.Errorf("writing the input: %v", err)
	}
	x.expect("got line\n")
	if err := w.Close(); err != nil {
		t.Errorf("ending the input: %v", err)
	}
	if code := x.code(); code != 0 || x.out.String() != "got line\nended\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, x.out, x.err)
	}
}

func containerKilled(t *testing.T, s *suite) {
	name := s.name(t)
	x := s.start(t, s.foreground(name, "echo ready; exec sleep 600"))
	x.expect("ready")
	s.must(t, "kill", "-s", "KILL", name)
	if code := x.code(); code != 137 {
		t.Errorf("exit code %d", code)
	}
}

func containerNoSuchCommand(t *testing.T, s *suite) {
	name := s.name(t)
	code, out, stderr := s.nerdctl(t, "run", "--rm", "--network", "none", "--name", name, s.Image, "/no/such/command")
	if code == 0 || out != "" || !strings.Contains(stderr, "/no/such/command") {
		t.Errorf("exit code %d, stdout %q, stderr %q; want an error that names the command", code, out, stderr)
	}
	if left := s.must(t, "ps", "-a", "-q", "--filter", "name="+name); left != "" {
		t.Errorf("it left the container %s", left)
	}
}

func containerExec(t *testing.T, s *suite) {
	name := s.detached(t, "trap 'exit 0' TERM; sleep 600 & wait", "--network", "none")
	p := guest.Process{
		Argv: []string{"nerdctl", "exec", "-i", name, "/bin/sh", "-c", `head -c 1048576; printf %s "$GT_VALUE" >&2; exit 127`},

		Variables: []string{"GT_VALUE=two\nlines # "},
	}
	data := string(noise()[:1<<20])
	p.Stdin = unended(t, data)
	code, out, stderr := s.run(t, p)
	// nerdctl says an exec's exit code in words, and ends with 1.
	if code != 1 || out != data || !strings.HasPrefix(stderr, "two\nlines # ") || !strings.Contains(stderr, "exit code 127") {
		t.Errorf("exit code %d, stdout %d of %d bytes, different at %d, stderr %q", code, len(out), len(data), diff(out, data), stderr)
	}
}

// sizedTerminal gives a terminal its first size and, when the container has seen that one,
// others of one width, as a window does whose edge is dragged. It stops when the container
// has seen that width: the nerdctl that is pinned begins to listen for changes only after it
// has set the first size, and never hears of one that comes in between.
func (s *suite) sizedTerminal(t *testing.T, p guest.Process, want int) {
	t.Helper()
	sizes := make(chan guest.Size)
	p.TTY = &guest.TTY{Size: guest.Size{Rows: 33, Cols: 177}, Resize: sizes}
	in, typed := typist(t)
	p.Stdin = in
	x := s.start(t, p)
	x.expect("size 33 177\r\n")
	for size := (guest.Size{Rows: 50, Cols: 132}); ; size.Rows++ {
		select {
		case sizes <- size:
		case <-x.done:
			t.Fatalf("ended: %v, %q", x.result, x.out)
		}
		out, changed := x.out.watch()
		if strings.Contains(out, "width 132\r\n") {
			break
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		}
	}
	typed("typed\r")
	if code := x.code(); code != want || !strings.Contains(x.out.String(), "got typed\r\n") || x.err.String() != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, x.out, x.err)
	}
}

// sizes ends with 9 when it has seen both sizes of sizedTerminal and a line. Both are waited
// for: nerdctl sets the first one after the process has begun, too.
const sizes = `until [ "$(stty size)" = "33 177" ]; do :; done; echo "size 33 177"; ` +
	`until case "$(stty size)" in *" 132") true;; *) false;; esac; do :; done; echo "width 132"; ` +
	`test -t 2 || exit 1; read -r l; echo "got $l" >&2; exit 9`

func containerTerminal(t *testing.T, s *suite) {
	s.sizedTerminal(t, s.foreground(s.name(t), sizes, "-i", "-t"), 9)
}

func containerExecTerminal(t *testing.T, s *suite) {
	name := s.detached(t, "trap 'exit 0' TERM; sleep 600 & wait", "--network", "none")
	s.sizedTerminal(t, guest.Process{Argv: []string{"nerdctl", "exec", "-i", "-t", name, "/bin/sh", "-c", sizes}}, 1) // as in containerExec
}

func containerInterrupt(t *testing.T, s *suite) {
	p := s.foreground(s.name(t), waiting("INT", "echo interrupted"), "-i", "-t")
	p.TTY = &guest.TTY{}
	in, typed := typist(t)
	p.Stdin = in
	x := s.start(t, p)
	x.expect("ready\r\n")
	typed("\x03")
	if code := x.code(); code != 43 || !strings.Contains(x.out.String(), "interrupted\r\n") {
		t.Errorf("ctrl-C: exit code %d, output %q", code, x.out)
	}
}

// attached starts a container and returns when nerdctl is done with starting it: it takes
// the signals that it proxies only after the last label is written.
func (s *suite) attached(t *testing.T, name string, p guest.Process) *running {
	t.Helper()
	x := s.start(t, p)
	x.expect("ready")
	s.until(t, "nerdctl has started "+name, func() bool {
		_, labels, _ := s.nerdctl(t, "inspect", "--format", "{{json .Config.Labels}}", name)
		return strings.Contains(labels, `"containerd.io/restart.explicitly-stopped":"false"`)
	})
	return x
}

package agentserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
)

// limit is how long anything here may take at most.
const limit = 30 * time.Second

// vanishing is a client whose connection is broken by the returned function, as when its
// process is killed.
func (l *lab) vanishing(t *testing.T) (*agent.Client, func()) {
	t.Helper()
	var conn net.Conn
	c, err := agent.Connect(t.Context(), func(ctx context.Context) (net.Conn, error) {
		var err error
		conn, err = agent.Socket(l.socket)(ctx)
		return conn, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, func() { conn.Close() }
}

// started runs p and returns when it has said "ready", with what Run returns later.
func started(t *testing.T, c *agent.Client, ctx context.Context, p guest.Process) <-chan error { //nolint:revive // t first reads better in a test
	t.Helper()
	r, w := io.Pipe()
	p.Stdout = w
	done := make(chan error, 1)
	go func() {
		err := c.Run(ctx, p)
		w.CloseWithError(io.EOF)
		done <- err
	}()
	seen := ""
	for b := make([]byte, 64); !strings.Contains(seen, "ready"); {
		n, err := r.Read(b)
		if seen += string(b[:n]); err != nil {
			t.Fatalf("it ended before it was ready: %q, %v", seen, <-done)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return done
}

func awaitResult(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatal("Run has not returned")
		return nil
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	overdue := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-overdue:
			t.Fatalf("waiting until %s", what)
		}
	}
}

func contents(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(text)
}

func TestACommandWhoseClientVanishesIsEndedAndCleanedUpAfter(t *testing.T) {
	l := newLab(t, nil)
	c, vanish := l.vanishing(t)
	st, err := c.Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	staged, err := st.Put(t.Context(), "secret", 0o600, strings.NewReader("staged"))
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(l.dir, "log")
	p := sh(`trap 'echo term >>"$LOG"; cat "$FILE" >>"$LOG"; exit 3' TERM; echo ready; sleep 600 & wait`)
	p.Env = []string{"LOG=" + log, "FILE=" + staged}
	p.OnCancel = sh(`(echo; pwd; cat "$FILE"; echo; echo over) >>"$LOG"`).Argv
	p.Dir = "/"
	done := started(t, c, t.Context(), p)
	vanish()
	if err := awaitResult(t, done); !errors.Is(err, agent.ErrLost) {
		t.Errorf("the client is told %v", err)
	} else if _, ran := guest.ExitCode(err); ran {
		t.Errorf("a lost connection is taken for an exit code: %v", err)
	}
	eventually(t, "the command is cleaned up after", func() bool { return strings.HasSuffix(contents(log), "over\n") })
	if got, want := contents(log), "term\nstaged\n/\nstaged\nover\n"; got != want {
		t.Errorf("over there happened %q, want %q", got, want)
	}
	eventually(t, "the stage is removed", func() bool {
		_, err := os.Stat(filepath.Dir(staged))
		return errors.Is(err, fs.ErrNotExist)
	})
	eventually(t, "no command is left", func() bool { return l.Running() == 0 })
}

func TestAStubbornCommandWhoseClientVanishesIsKilled(t *testing.T) {
	l := newLab(t, nil)
	c, vanish := l.vanishing(t)
	pid, log := filepath.Join(l.dir, "pid"), filepath.Join(l.dir, "log")
	p := sh(`trap '' TERM HUP INT PIPE; echo $$ >"$1"; echo ready; while :; do sleep 600; done`, pid)
	p.OnCancel = sh(`kill -0 "$(cat "$1")" 2>/dev/null && echo alive >"$2" || echo over >"$2"`, pid, log).Argv
	done := started(t, c, t.Context(), p)
	vanish()
	if err := awaitResult(t, done); !errors.Is(err, agent.ErrLost) {
		t.Errorf("the client is told %v", err)
	}
	eventually(t, "it is cleaned up after", func() bool { return contents(log) != "" })
	if got := contents(log); got != "over\n" {
		t.Errorf("when it was cleaned up after, it was %s", got)
	}
}

func TestACancelledCommandIsCleanedUpAfterBeforeRunReturns(t *testing.T) {
	l := newLab(t, nil)
	log := filepath.Join(l.dir, "log")
	p := sh("echo ready; exec sleep 600")
	p.OnCancel = sh(`echo over >"$1"`, log).Argv
	ctx, cancel := context.WithCancel(t.Context())
	done := started(t, l.client(t), ctx, p)
	cancel()
	if err := awaitResult(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := contents(log); got != "over\n" {
		t.Errorf("it left %q", got)
	}
	p = sh("exit 7")
	p.OnCancel = sh(`echo never >"$1"`, log).Argv
	if code, _ := guest.ExitCode(l.client(t).Run(t.Context(), p)); code != 7 {
		t.Errorf("exit code %d", code)
	}
	if got := contents(log); got != "over\n" {
		t.Errorf("a command that ended by itself was cleaned up after: %q", got)
	}
}

// The second Server stands for the next agent, after this one was killed.
func TestTheNextAgentEndsWhatAKilledOneHasLeft(t *testing.T) {
	var o Options
	l := newLab(t, func(of *Options) { o = *of; o.Env = append(o.Env, "OWN=1") })
	log := filepath.Join(l.dir, "log")
	p := sh("trap '' TERM; echo ready; while :; do sleep 600; done")
	p.OnCancel, p.Env, p.Dir = sh(`echo "over $PWD $OWN$SECRET" >"$1"`, log).Argv, []string{"SECRET=2"}, "/"
	done := started(t, l.client(t), t.Context(), p)
	next, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := guest.ExitCode(awaitResult(t, done)); code != 137 {
		t.Errorf("it ended with %d", code)
	}
	eventually(t, "it is cleaned up after", func() bool { return contents(log) != "" })
	if got := contents(log); got != "over / 1\n" {
		t.Errorf("what cleaned up says %q", got)
	}
	next.Close(t.Context())
	left, err := os.ReadDir(o.Records)
	if err != nil || len(left) > 0 {
		t.Errorf("noted is still %v, %v", left, err)
	}
	if err := l.client(t).Run(t.Context(), sh("exit 0")); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(o.Records); len(left) > 0 {
		t.Errorf("a command that has ended left %v", left)
	}
}

func TestCommandsEndWithTheAgent(t *testing.T) {
	l := newLab(t, nil)
	c := l.client(t)
	done := started(t, c, t.Context(), sh("trap 'exit 0' TERM; echo ready; sleep 600 & wait"))
	l.Close(t.Context())
	if err := awaitResult(t, done); !errors.Is(err, agent.ErrStopping) {
		t.Errorf("its client is told %v", err)
	}
	if err := c.Run(t.Context(), sh("exit 0")); !errors.Is(err, agent.ErrStopping) {
		t.Errorf("who comes late is told %v", err)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestASignalDoesNotWaitBehindUnreadInput(t *testing.T) {
	c := newLab(t, nil).client(t)
	signals := make(chan os.Signal, 1)
	p := sh("trap 'exit 9' USR1; echo ready; while :; do sleep 600 & wait $!; done")
	p.Stdin, p.Signals = zeros{}, signals
	done := started(t, c, t.Context(), p)
	signals <- syscall.SIGUSR1
	if code, _ := guest.ExitCode(awaitResult(t, done)); code != 9 {
		t.Errorf("exit code %d", code)
	}
}

func TestAMassOfDataCrossesBothWaysAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("it sends a mass of data")
	}
	c := newLab(t, nil).client(t)
	const size = 64 << 20
	pattern := bytes.Repeat([]byte("0123456789abcdef\xff\x00\r\n"), 1<<10)
	in := io.LimitReader(repeated(pattern), size)
	sent, got := sha256.New(), sha256.New()
	p := guest.Process{Argv: []string{"cat"}, Stdin: io.TeeReader(in, sent), Stdout: got}
	if err := c.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Error("what came back is not what was sent")
	}
}

type repeater struct{ pattern, rest []byte }

func repeated(pattern []byte) io.Reader { return &repeater{pattern: pattern} }

func (r *repeater) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		r.rest = r.pattern
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// writer is a function that writes.
type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestAReaderThatLeavesIsMetAsABrokenPipe(t *testing.T) {
	c := newLab(t, nil).client(t)
	p := sh("while :; do echo out; done")
	p.Stdout = writer(func([]byte) (int, error) { return 0, io.ErrClosedPipe })
	if code, _ := guest.ExitCode(c.Run(t.Context(), p)); code != 141 {
		t.Errorf("exit code %d", code)
	}
	p = sh("echo out; exit 3")
	p.Stdout = writer(func([]byte) (int, error) { return 0, errors.New("disk is full") })
	if err := c.Run(t.Context(), p); err == nil || err.Error() != "writing standard output: disk is full" {
		t.Errorf("a writer that fails: %v", err)
	}
}

func TestOneUnreadOutputDoesNotHoldUpTheOther(t *testing.T) {
	c := newLab(t, nil).client(t)
	said := make(chan struct{})
	// All of it has room in the client, so it does not matter how late the agent comes to read what was said.
	p := sh("head -c 300000 /dev/zero; echo said >&2; head -c 200000 /dev/zero")
	total := 0
	p.Stdout = writer(func(b []byte) (int, error) {
		select {
		case <-said:
		case <-time.After(limit):
			t.Error("stderr did not come")
		}
		total += len(b)
		return len(b), nil
	})
	p.Stderr = writer(func(b []byte) (int, error) {
		close(said)
		return len(b), nil
	})
	if err := c.Run(t.Context(), p); err != nil || total != 500000 {
		t.Errorf("%d bytes, %v", total, err)
	}
}

func TestOutputsOfOneWriterKeepTheirOrder(t *testing.T) {
	c := newLab(t, nil).client(t)
	var both, want strings.Builder
	p := sh("i=0; while [ $i -lt 300 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done")
	p.Stdout, p.Stderr = &both, &both
	for i := range 300 {
		fmt.Fprintf(&want, "out %d\nerr %d\n", i, i)
	}
	if err := c.Run(t.Context(), p); err != nil || both.String() != want.String() {
		t.Errorf("%v, %.200q", err, both.String())
	}
}

func TestWhyACommandCouldNotBeRunIsTold(t *testing.T) {
	c := newLab(t, nil).client(t)
	for _, x := range []struct {
		p    guest.Process
		is   error
		text string
	}{
		{guest.Process{Argv: []string{"/no/such"}}, fs.ErrNotExist, `starting "/no/such": fork/exec /no/such: no such file or directory`},
		{guest.Process{Argv: []string{"/dev/null"}}, fs.ErrPermission, `starting "/dev/null": fork/exec /dev/null: permission denied`},
		{guest.Process{Argv: []string{"sh"}, Dir: "/no/such"}, fs.ErrNotExist, "starting \"sh\": working directory: stat /no/such: no such file or directory"},
	} {
		err := c.Run(t.Context(), x.p)
		if !errors.Is(err, x.is) || err.Error() != x.text {
			t.Errorf("%q: %v", x.p.Argv, err)
		}
	}
	p := sh("cat; exit 0")
	p.Stdin = io.MultiReader(strings.NewReader("half"), writerless{})
	if err := c.Run(t.Context(), p); err == nil || err.Error() != "reading standard input: it broke" {
		t.Errorf("an input that breaks: %v", err)
	}
}

type writerless struct{}

func (writerless) Read([]byte) (int, error) { return 0, errors.New("it broke") }

package lima

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// global are limactl's flags in front of every command: no questions, and a log to be read by
// a program.
var global = []string{"--tty=false", "--log-format=json"}

// env is the whole environment of every limactl, and so of Lima's own processes.
func (m *Machine) env(accelerator string) []string {
	env := append(host.Inherited(m.o.Environ), "LIMA_HOME="+m.o.Layout.LimaHome())
	if m.o.Facts.User != "" {
		env = append(env, "USER="+m.o.Facts.User, "LOGNAME="+m.o.Facts.User)
	}
	if arch, err := m.o.Facts.arch(); err == nil && accelerator == "tcg" {
		env = append(env, emulation(arch))
	}
	return env
}

// limactl runs one command and returns what it prints.
func (m *Machine) limactl(ctx context.Context, args ...string) (string, error) {
	out, _, err := m.run(ctx, args...)
	return out, err
}

func (m *Machine) run(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out, log bytes.Buffer
	argv := append(append([]string{m.o.Layout.Bin("limactl")}, global...), args...)
	code, err := host.Run(ctx, host.Command{Argv: argv, Env: m.env(""), Dir: "/", Stdout: &out, Stderr: &log})
	if ctx.Err() != nil {
		return "", "", ctx.Err()
	}
	if err != nil {
		return "", "", fmt.Errorf("running limactl: %w", err)
	}
	if code != 0 {
		return out.String(), log.String(), &failure{command: command(args, m.o.Layout.Machine()), code: code, reason: lastFailure(log.String())}
	}
	return out.String(), log.String(), nil
}

// command is what a failure calls a command: its words, without flags, paths and the machine.
func command(args []string, machine string) string {
	name := "limactl"
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") || strings.HasPrefix(arg, "/") || arg == machine {
			break
		}
		name += " " + arg
	}
	return name
}

// failure is a limactl that failed.
type failure struct {
	command string
	code    int
	reason  string // its own, empty when it gave none
}

func (f *failure) Error() string {
	if f.reason == "" && f.code != 0 {
		return fmt.Sprintf("%s ended with code %d, and said nothing", f.command, f.code)
	}
	if f.reason == "" {
		return f.command + " ended, and said nothing"
	}
	return f.command + ": " + f.reason
}

// entry is a line of limactl's log.
type entry struct {
	Level   string `json:"level"`
	Message string `json:"msg"`
	Error   string `json:"error"`
}

// entries reads a log, of which some lines may be no JSON: what programs that limactl runs
// write themselves.
func entries(log string) (all []entry) {
	lines := bufio.NewScanner(strings.NewReader(log))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		if json.Unmarshal([]byte(text), &e) != nil || e.Message == "" {
			e = entry{Level: "text", Message: text}
		}
		e.Message = strings.TrimPrefix(e.Message, "[hostagent] ")
		if e.Error != "" {
			e.Message += ": " + e.Error
		}
		all = append(all, e)
	}
	return all
}

// vague are reasons that only say that something else has failed, which stands before them.
var vague = regexp.MustCompile(`^exiting, status=|^host agent process has exited|^degraded, status=|^did not receive an event|^Driver stopped due to error`)

// ownHint is where limactl itself points, in parentheses.
var ownHint = regexp.MustCompile(` \((hint:|maybe use) [^)]*\)`)

// lastFailure is why a limactl failed: its last fatal line; the last error before it when that says
// nothing; a line that is no log when there is neither.
func lastFailure(log string) string {
	all := entries(log)
	for _, level := range []string{"fatal", "error", "text"} {
		for i := len(all) - 1; i >= 0; i-- {
			if all[i].Level == level && !vague.MatchString(all[i].Message) {
				return strings.TrimSpace(ownHint.ReplaceAllString(all[i].Message, ""))
			}
		}
	}
	if len(all) > 0 {
		return strings.TrimSpace(ownHint.ReplaceAllString(all[len(all)-1].Message, ""))
	}
	return ""
}

// warnings are what a limactl that did nothing, and called that success, said.
func warnings(log string) string {
	var all []string
	for _, e := range entries(log) {
		if e.Level == "warning" || e.Level == "error" {
			all = append(all, e.Message)
		}
	}
	return strings.Join(all, "; ")
}

// tool says why limactl cannot be used, nil when it can.
func (m *Machine) tool(ctx context.Context) (*vm.Refusal, error) {
	if m.o.Facts.Root {
		return &vm.Refusal{
			Reason: "the virtual machine runs for ordinary users only: Lima refuses the superuser",
			Fix:    "run linnet as an ordinary user, or set backend: native",
		}, nil
	}
	limactl := m.o.Layout.Bin("limactl")
	if _, err := os.Stat(limactl); err != nil {
		why := hint.Cause(err)
		if errors.Is(err, fs.ErrNotExist) {
			why = errors.New("it is not there")
		}
		return &vm.Refusal{
			Reason: fmt.Sprintf("limactl cannot be used: %s: %v", limactl, why),
			Fix:    "install linnet whole, or set LINNET_LIBEXEC to the directory of its components",
		}, nil
	}
	out, err := m.limactl(ctx, "--version")
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		var failed *failure
		if !errors.As(err, &failed) {
			err = hint.Cause(err) // it could not be run at all
		}
		return &vm.Refusal{
			Reason: fmt.Sprintf("limactl cannot be used: %s: %v", limactl, err),
			Fix:    "install linnet's components again",
		}, nil
	}
	version := strings.TrimPrefix(strings.TrimSpace(out), "limactl version ")
	if !atLeast(version, minimumLima) {
		return &vm.Refusal{
			Reason: fmt.Sprintf("limactl cannot be used: %s is version %s, and %s is needed", limactl, version, minimumLima),
			Fix:    "install the components of this linnet, or take LINNET_LIBEXEC out of the environment",
		}, nil
	}
	return nil, nil //nolint:nilnil // no refusal, and no failure to find out
}

// atLeast compares versions by their numbers; what has none is not enough.
func atLeast(version, least string) bool {
	have, want := numbers(version), numbers(least)
	for i := range want {
		if i >= len(have) || have[i] < want[i] {
			return false
		}
		if have[i] > want[i] {
			return true
		}
	}
	return true
}

func numbers(version string) (all []int) {
	version = strings.TrimPrefix(version, "v")
	version, _, _ = strings.Cut(version, "-")
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return all
		}
		all = append(all, n)
	}
	return all
}

// Package cli is linnet's command line: the tree of commands, flags to options, the wiring
// of everything below, and errors to text and exit codes. It is the only package that knows
// cobra, and the only one that knows all the others.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/native"
	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/settings"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// Exit codes of linnet itself. A forwarded command has its own.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Main runs one linnet command line (args without the program's name) and returns the exit
// code. The program has the commands of its extensions too; for those of others it becomes the
// program beside it that has them.
func Main(ctx context.Context, program route.Program, args []string, s *streams.Streams, extensions ...Extension) int {
	return newApp(ctx, program, args, s, extensions...).main()
}

func newApp(ctx context.Context, program route.Program, args []string, s *streams.Streams, extensions ...Extension) *app {
	return &app{
		ctx: ctx, streams: s, log: newLog(s.Err), args: args, program: program, extensions: extensions,
		systemSocket: systemDockerSocket,
	}
}

// main runs the command line and returns the exit code.
func (a *app) main() int {
	err := a.run(a.args)
	if a.report != nil {
		a.report.Close()
	}
	return a.finish(err)
}

// app is what commands share. Everything is made when first asked for: `version` reads no
// settings, `config` finds no engine.
type app struct {
	ctx     context.Context //nolint:containedctx // one command line is one context
	streams *streams.Streams
	log     *logrus.Logger

	args       []string
	program    route.Program
	extensions []Extension

	// The global flags.
	debug    bool
	quiet    bool
	progress string
	backend  string
	global   []string // nerdctl's own global flags, as they were typed

	systemSocket string // where tools look for Docker's socket by themselves
	systemRoot   string // what the system's files that doctor reads are below; empty is /

	layout   *host.Layout
	settings *settings.Settings
	report   *report.Reporter
	engine   *engine
}

func newLog(w io.Writer) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(w)
	log.SetLevel(logrus.WarnLevel)
	log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true})
	return log
}

// Layout resolves where everything is, and checks that no other user can change it.
func (a *app) Layout() (host.Layout, error) {
	if a.layout != nil {
		return *a.layout, nil
	}
	program, err := os.Executable()
	if err != nil {
		return host.Layout{}, fmt.Errorf("finding this program: %w", err)
	}
	l, err := host.NewLayout(os.LookupEnv, program)
	if err == nil {
		err = l.CheckOwners(program)
	}
	if err == nil {
		err = l.CheckVersion()
	}
	if err != nil {
		return l, err
	}
	a.layout = &l
	return l, nil
}

// Settings reads linnet.yaml, the environment and the global flags, strictly.
func (a *app) Settings() (*settings.Settings, error) {
	if a.settings != nil {
		return a.settings, nil
	}
	l, err := a.Layout()
	if err != nil {
		return nil, err
	}
	in := settings.Input{Facts: settings.HostFacts(), Path: l.Settings(), Env: os.LookupEnv}
	if a.backend != "" {
		in.Flags = append(in.Flags, settings.Flag{Name: "--backend", Key: "backend", Value: a.backend})
	}
	if a.debug {
		in.Flags = append(in.Flags, settings.Flag{Name: "--debug", Key: "log.level", Value: "debug"})
	}
	s, err := settings.Read(in)
	if err != nil {
		return nil, inUsage(err)
	}
	a.settings = s
	if level, err := logrus.ParseLevel(string(s.Log.Level)); err == nil && a.debug {
		a.log.SetLevel(level)
	}
	return s, nil
}

// inUsage makes an error of the command line of what is wrong with settings there alone.
func inUsage(err error) error {
	var problems settings.Problems
	if !errors.As(err, &problems) {
		return err
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Where, "--") {
			return err
		}
	}
	return Usage(err, problems.Hint())
}

// Report is where steps go.
func (a *app) Report() *report.Reporter {
	if a.report == nil {
		format, err := report.Choose(a.progress, a.streams.Live(), a.quiet)
		if err != nil {
			format = report.Plain // refused already by the flag
		}
		a.report = report.New(report.Options{
			Err: a.streams.Err, Format: format, Width: a.streams.Width,
			Color: a.streams.Color(), UTF8: a.streams.UTF8(),
		})
	}
	return a.report
}

// finish turns an error into text on stderr and an exit code.
func (a *app) finish(err error) int {
	if err == nil {
		return exitOK
	}
	if code, ok := guest.ExitCode(err); ok {
		return code // the command has said what there is to say
	}
	var silent *silentError
	if errors.As(err, &silent) {
		return silent.code
	}
	fmt.Fprint(a.streams.Err, errorText(err))
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitError
}

// errorText is how every error is shown: "linnet: what went wrong", one line for each when
// there are several, and "hint: what to do" where there is a hint.
func errorText(err error) string {
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimRight(report.Clean(err.Error()), "\n"), "\n") {
		if i == 0 || startsSentence(line) {
			b.WriteString("linnet: ")
		}
		b.WriteString(line + "\n")
	}
	var missing native.Prerequisites
	if errors.As(err, &missing) {
		return b.String() // each line has its own
	}
	if fix := hint.Of(err); fix != "" {
		b.WriteString("hint: " + report.Clean(fix) + "\n")
	}
	return b.String()
}

// startsSentence reports whether a further line is an error of its own: all but hints and
// what is indented.
func startsSentence(line string) bool {
	return line != "" && !strings.HasPrefix(line, "hint: ") && line[0] != ' ' && line[0] != '\t'
}

// usageError is a command line that linnet itself does not accept.
type usageError struct {
	error
	fix string
}

func (e *usageError) Unwrap() error { return e.error }
func (e *usageError) Hint() string  { return e.fix }

// silentError ends linnet with a code and no further word.
type silentError struct{ code int }

func (e *silentError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

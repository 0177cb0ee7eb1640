package buildcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/cli"
)

// Quiet silences libraries: what they are surprised at matters to no user, and what a user has to know is an error
// of ours. (HTTP/2's server reports, through package log, what is left in a session's stream when it is closed.)
func Quiet() {
	logrus.SetLevel(logrus.PanicLevel)
	log.SetOutput(io.Discard)
}

// Host is this process's surroundings as a build sees them: working directory, HOME, environment
// and streams. It fails when there is no working directory.
func Host(env *cli.Env) (options.Host, error) {
	dir, err := os.Getwd()
	if err != nil {
		return options.Host{}, fmt.Errorf("finding the working directory: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return options.Host{}, fmt.Errorf("finding linnet's own program: %w", err)
	}
	layout, err := env.Layout()
	if err != nil {
		return options.Host{}, err
	}
	s := env.Streams()
	return options.Host{
		Dir: dir, Home: os.Getenv("HOME"), LookupEnv: os.LookupEnv, Stdin: s.In, Stdout: s.Out, EnvProgram: layout.Env(program),
	}, nil
}

// NewSession is where builds run, with a grant of credentials of its own. tell says at the end which the engine asked for in
// vain.
func NewSession(env *cli.Env) (s build.Session, tell func(), err error) {
	h, err := Host(env)
	if err != nil {
		return s, nil, err
	}
	c, err := env.Client()
	if err != nil {
		return s, nil, err
	}
	layout, err := env.Layout()
	if err != nil {
		return s, nil, err
	}
	settings, err := env.Settings()
	if err != nil {
		return s, nil, err
	}
	grant := c.NewGrant()
	return build.Session{
		Guest: c.Guest, Host: h, Layout: layout, Snapshotter: string(settings.Engine.Snapshotter),
		Credentials: grant.Credentials, Named: grant.Allow, Unnamed: grant.AllowOthers,
		Emulate: c.Emulate, Ready: c.Release,
	}, func() { c.TellRefused(grant) }, nil
}

// Progress is how the global flags want progress to be shown, in the words of build.NewDisplay:
// auto, plain, rawjson or quiet.
func Progress(env *cli.Env) string {
	switch mode := env.Progress(); mode {
	case "json":
		return "rawjson"
	case "plain", "quiet":
		return mode
	}
	return "auto"
}

// interrupted is why a build was called off.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "the build was called off" }

// Interruptible is a context that ends with the first SIGINT or SIGTERM; a second one ends the
// process as it would any, and so does the first after stop. Ended knows which signal it was.
func Interruptible(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case got := <-signals:
			signal.Stop(signals)
			if s, ok := got.(syscall.Signal); ok {
				cancel(interrupted{s})
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// Ended is how the process ends after a build that did not: with 128 and the signal's number, and no
// further word, if a signal ended ctx, which is of Interruptible; else with err.
func Ended(ctx context.Context, err error) error {
	var i interrupted
	if ctx.Err() != nil && errors.As(context.Cause(ctx), &i) {
		return cli.Silent(128 + int(i.signal))
	}
	return err
}

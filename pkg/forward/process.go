package forward

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// Process runs one process with the caller's own streams. Where the guest's far side is
// this very process, it is replaced and nothing returns; otherwise the terminal, its size
// and the signals that reach us are carried over.
func Process(ctx context.Context, g guest.Guest, s *streams.Streams, p guest.Process) error {
	if replaced(g, s) {
		return g.(guest.Replacer).Replace(p) //nolint:forcetypeassert // that is what replaced says
	}
	return carry(ctx, g, s, p)
}

// replaced says whether a process would take the place of this one: the guest can do that,
// and the streams are this process's own.
func replaced(g guest.Guest, s *streams.Streams) bool {
	_, ok := g.(guest.Replacer)
	return ok && s.In == os.Stdin && s.Out == os.Stdout && s.Err == os.Stderr
}

// carry runs p beside us: a raw terminal when it wants one, resizes, signals.
func carry(ctx context.Context, g guest.Guest, s *streams.Streams, p guest.Process) error {
	if p.Stdin == nil {
		p.Stdin = s.In
	}
	if p.Stdout == nil {
		p.Stdout = s.Out
	}
	p.Stderr = s.Err
	if p.TTY != nil {
		size, err := s.Size()
		if err == nil {
			p.TTY.Size = guest.Size(size)
		}
		restore, err := s.MakeRaw()
		if err != nil {
			return err
		}
		defer restore()
		resizing, stop := context.WithCancel(ctx)
		defer stop()
		p.TTY.Resize = sizes(resizing, s)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	p.Signals = signals
	return g.Run(ctx, p)
}

func sizes(ctx context.Context, s *streams.Streams) <-chan guest.Size {
	out := make(chan guest.Size)
	go func() {
		defer close(out)
		for size := range s.Resizes(ctx) {
			select {
			case out <- guest.Size(size):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

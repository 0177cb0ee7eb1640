package client

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// Attach runs one process with the user's own streams, in the place of this process where that can be; else terminal, its size
// and the signals that reach us are carried over.
func (c *Client) Attach(ctx context.Context, p guest.Process) error {
	return command{Client: c, replaces: c.canReplace()}.start(ctx, p)
}

// canReplace reports whether a process could take the place of this one: the guest can do that, and the streams are this
// process's own.
func (c *Client) canReplace() bool {
	return c.Guest.Capabilities().Replace != nil && c.Streams.Own()
}

func (o command) start(ctx context.Context, p guest.Process) error {
	if o.replaces {
		return o.Guest.Capabilities().Replace(p)
	}
	return o.carry(ctx, p)
}

// carry runs p beside us: a raw terminal when it wants one, resizes, signals.
func (c *Client) carry(ctx context.Context, p guest.Process) error {
	s := c.Streams
	if p.Stdin == nil {
		p.Stdin = s.In
	}
	if p.Stdout == nil {
		p.Stdout = s.Out
	}
	p.Stderr = s.Err
	if p.TTY != nil {
		if size, err := s.Size(); err == nil {
			p.TTY.Size = size
		}
		restore, err := s.MakeRaw()
		if err != nil {
			return err
		}
		defer restore()
		resizing, stop := context.WithCancel(ctx)
		defer stop()
		p.TTY.Resize = s.Resizes(resizing)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	p.Signals = signals
	return c.Guest.Run(ctx, p)
}

package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// link is one SSH connection to the guest.
type link struct {
	client *ssh.Client
	once   sync.Once
	gone   chan struct{}
}

func (l *link) lose() { l.once.Do(func() { close(l.gone) }) }

// lost reports whether the connection broke: what its streams read as an end is none.
func (l *link) lost() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// use keeps streams in stock until the link is lost or ctx ends; it says why it was lost.
func (r *Relay) use(ctx context.Context, l *link) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		cancel(fmt.Errorf("the connection to the guest ended: %w", l.client.Wait()))
	})
	wg.Go(func() {
		if err := r.keepAlive(ctx, l); err != nil {
			cancel(err)
		}
	})
	wg.Go(l.hurry)
	if r.o.SSHAgent != "" {
		wg.Go(func() { r.lendAgent(ctx, l) })
	}
	for range r.o.Stock {
		wg.Go(func() { r.keepStock(ctx, l) })
	}
	<-ctx.Done()
	l.lose() // before its streams read an end
	l.client.Close()
	wg.Wait()
	return context.Cause(ctx)
}

// hurry makes sshd send small packets at once: it sets TCP_NODELAY when it runs its first
// command (do_exec_no_pty in its session.c), and until then a short answer behind another
// waits for our kernel's delayed acknowledgement, 40 ms.
func (l *link) hurry() {
	session, err := l.client.NewSession()
	if err != nil {
		return // only slower
	}
	defer func() { _ = session.Close() }()
	_ = session.Run(":")
}

// keepStock has one stream ready at any time.
func (r *Relay) keepStock(ctx context.Context, l *link) {
	pause := newPause(50*time.Millisecond, time.Second)
	for ctx.Err() == nil {
		s, err := openStream(l, r.o.GuestSocket)
		if err != nil {
			s = r.retry(ctx, l, err)
		}
		if s == nil {
			return
		}
		opened := time.Now()
		select {
		case r.handout <- s:
			pause.reset()
		case <-s.spoke: // the agent ended
			s.Close()
			if time.Since(opened) > time.Second {
				pause.reset()
			}
			pause.wait(ctx)
		case <-ctx.Done():
			s.Close()
		}
	}
}

// retry opens a stream once the agent is there again; nil when ctx has ended. One at a time
// does so: each failure is a line in the guest's journal.
func (r *Relay) retry(ctx context.Context, l *link, err error) *stream {
	select {
	case r.retrying <- struct{}{}:
		defer func() { <-r.retrying }()
	case <-ctx.Done():
		return nil
	}
	pause := newPause(50*time.Millisecond, time.Second)
	for ctx.Err() == nil {
		s, again := openStream(l, r.o.GuestSocket)
		if again == nil {
			r.reached()
			return s
		}
		if ctx.Err() == nil {
			r.complain(fmt.Errorf("connecting to the agent in the guest: %w", err))
		}
		err = again
		pause.wait(ctx)
	}
	return nil
}

var errNoAnswer = errors.New("the guest no longer answers")

// keepAlive returns an error when the guest does not answer in time.
func (r *Relay) keepAlive(ctx context.Context, l *link) error {
	tick := time.NewTicker(r.o.Keepalive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		answered := make(chan error, 1)
		go func() {
			_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		patience := time.NewTimer(r.o.Patience)
		select {
		case err := <-answered:
			patience.Stop()
			if err != nil {
				return nil // the connection's end tells why
			}
		case <-patience.C:
			return errNoAnswer
		case <-ctx.Done():
			patience.Stop()
			return nil
		}
	}
}

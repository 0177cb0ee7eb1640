package streams

import (
	"context"
	"os"
	"os/signal"
)

// Resizes delivers the size of the terminal after each change of it, until ctx ends; then the
// channel is closed. It is closed at once where there is no terminal. A receiver that is slow
// misses sizes in between, never the last one.
func (s *Streams) Resizes(ctx context.Context) <-chan Size {
	sizes := make(chan Size, 1)
	if _, err := s.Size(); err != nil || len(resizeSignals) == 0 {
		close(sizes)
		return sizes
	}
	// Registered before returning: a resize right after the caller's first Size is not lost.
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, resizeSignals...)
	go func() {
		defer close(sizes)
		defer signal.Stop(changed)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				s.sendSize(sizes)
			}
		}
	}()
	return sizes
}

// sendSize replaces an unread size by the present one. It is the only sender, so the send
// after draining cannot block.
func (s *Streams) sendSize(sizes chan Size) {
	size, err := s.Size()
	if err != nil {
		return
	}
	select {
	case <-sizes:
	default:
	}
	sizes <- size
}

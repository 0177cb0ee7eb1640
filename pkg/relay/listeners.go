package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/agent"
)

func (p *ports) openListener(ctx context.Context, owner string, d *listener) {
	log := p.log.WithField("owner", owner).WithField("port", d.address()+"/"+d.protocol)
	known := d.err
	d.err = nil
	family := "4"
	if strings.Contains(d.ip, ":") {
		family = "6"
	}
	var err error
	switch d.protocol {
	case "tcp":
		err = p.openTCP(ctx, d, "tcp"+family)
	case "udp":
		err = p.openUDP(ctx, d, "udp"+family)
	default: // sctp, which hardly a host speaks: the container runs without it
		d.note = d.protocol + " is not carried to the host"
		log.Warn(d.note)
		return
	}
	if err == nil {
		log.WithField("target", d.target).Info("opened a published port")
		return
	}
	d.err = bindError(d.place, err)
	if known == nil || known.Error() != d.err.Error() {
		log.WithError(d.err).Warn("opening a published port")
	}
}

// bindError words it as nerdctl does where it runs natively.
func bindError(at place, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("bind for %s failed: port is already allocated", at.address())
	case errors.Is(err, syscall.EACCES) && at.port < 1024:
		return fmt.Errorf("%w (ports below 1024 are for root here: publish a higher one)", err)
	}
	return err
}

func (p *ports) openTCP(ctx context.Context, d *listener, network string) error {
	l, err := new(net.ListenConfig).Listen(ctx, network, d.address())
	if err != nil {
		return err
	}
	d.close = func() { l.Close() }
	target := "tcp:" + d.target
	p.wg.Go(func() {
		accept(ctx, l, p.log, func(ctx context.Context, conn net.Conn) { p.pass(ctx, conn, target) })
	})
	return nil
}

// pass connects one that came to a published port with the container.
func (p *ports) pass(ctx context.Context, conn net.Conn, service string) {
	if !p.connections.enter() {
		p.log.WithField("service", service).Warn("there are too many connections to published ports")
		agent.Reset(conn)
		return
	}
	defer p.connections.leave()
	s, through, err := p.dialFramed(ctx, service)
	if err != nil {
		p.log.WithError(err).WithField("service", service).Debug("connecting to a published port")
		agent.Reset(conn)
		return
	}
	splice(ctx, conn, s, through)
}

// dialFramed asks for frames, so that a reset can cross; an agent of before has none.
func (p *ports) dialFramed(ctx context.Context, service string) (*stream, through, error) {
	if !p.unframed.Load() {
		s, err := p.dial(ctx, agent.FramedPrefix+service)
		if err == nil {
			return s, agent.NewFramed(s, s), nil
		}
		if !strings.HasPrefix(err.Error(), agent.NoService) {
			return nil, nil, err
		}
		p.unframed.Store(true)
	}
	s, err := p.dial(ctx, service)
	return s, s, err
}

// dial takes a stream and makes it one to a service. A stream that was lost before anybody
// heard of it is as good as none.
func (p *ports) dial(ctx context.Context, service string) (*stream, error) {
	for tries := 1; ; tries++ {
		s, err := p.take(ctx)
		if err != nil {
			return nil, err
		}
		err = s.dial(ctx, service)
		if err == nil {
			return s, nil
		}
		unheard := s.link.lost() || errors.Is(err, agent.ErrStopping) || errors.Is(err, io.EOF)
		if !unheard || tries == mostTries || ctx.Err() != nil {
			return nil, err
		}
	}
}

// mostTries bounds how often a stream may be lost: with each try it is a fresh one.
const mostTries = 5

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

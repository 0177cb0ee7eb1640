package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// retryInterval is how often a port is tried again that was taken when it should have come
// back.
const retryInterval = 3 * time.Second

// ports holds the host's listeners of published ports. They stay while the guest is not
// reached: what connects waits.
type ports struct {
	log   logrus.FieldLogger
	take  func(context.Context) (*stream, error)
	rules PortRules

	// What may be open at once, through all ports: sshd ends the whole connection, commands and
	// all, of a client that opens ten thousand streams (CHANNELS_MAX_CHANNELS in OpenSSH's
	// channels.c), and a peer that reaches a port may open as many as it likes.
	connections, flows limiter

	// unframed says that the agent is one that cannot frame; another one is asked anew.
	unframed atomic.Bool

	mu     sync.Mutex
	owners map[string]*publication
	wg     sync.WaitGroup
}

// publication is what one container has published.
type publication struct{ listeners []*listener }

// place is where a port is published: what no two may share.
type place struct {
	protocol, ip string
	port         uint16
}

func (p place) address() string { return net.JoinHostPort(p.ip, strconv.Itoa(int(p.port))) }

// listener is one published port.
type listener struct {
	place
	target string // ip:port in the guest
	close  func() // nil while it is not open
	err    error  // why it is not
	note   string // why it will not be
	barred bool   // the rules forbid it, as err says
}

func newPorts(log logrus.FieldLogger, rules PortRules, take func(context.Context) (*stream, error)) *ports {
	return &ports{
		log: log, take: take, rules: rules.orDefaults(), owners: map[string]*publication{},
		connections: make(limiter, mostConnections), flows: make(limiter, mostFlows),
	}
}

const (
	mostConnections = 4096
	mostFlows       = 2048
)

// limiter is for so many at once.
type limiter chan struct{}

// enter reports whether there is room for one more, who then has to leave.
func (r limiter) enter() bool {
	select {
	case r <- struct{}{}:
		return true
	default:
		return false
	}
}

func (r limiter) leave() { <-r }

// close closes every listener and waits for what came through them, which ends with attend's
// context.
func (p *ports) close() {
	p.mu.Lock()
	for owner, c := range p.owners {
		p.drop(owner, c)
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// list tells what is published.
func (p *ports) list() (all []Port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for owner, c := range p.owners {
		for _, d := range c.listeners {
			port := Port{Owner: owner, Protocol: d.protocol, Host: d.address(), Target: d.target}
			port.Error = d.note
			if d.err != nil {
				port.Error = d.err.Error()
			}
			all = append(all, port)
		}
	}
	slices.SortFunc(all, func(a, b Port) int { return strings.Compare(a.Host+a.Protocol, b.Host+b.Protocol) })
	return all
}

// attend does as the agent says until ctx ends, which also ends every connection that came
// through a published port.
func (p *ports) attend(ctx context.Context) {
	pause := newPause(100*time.Millisecond, 2*time.Second)
	known := ""
	for ctx.Err() == nil {
		began := time.Now()
		err := p.attendOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if known != err.Error() {
			known = err.Error()
			p.log.WithError(err).Info("no longer told of published ports")
		}
		if time.Since(began) > 5*time.Second {
			pause.reset()
		}
		pause.wait(ctx)
	}
}

func (p *ports) attendOnce(ctx context.Context) error {
	s, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	p.unframed.Store(false)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	// One connection, for this alone: when it ends, everything is told anew.
	given := make(chan net.Conn, 1)
	given <- s
	close(given)
	conn, err := grpc.NewClient("passthrough:///agent", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if c, ok := <-given; ok {
				return c, nil
			}
			cancel()
			return nil, net.ErrClosed
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(attendMessageMax), grpc.ForceCodecV2(attendCodec{encoding.GetCodecV2(proto.Name)})), grpc.WithMaxHeaderListSize(agent.HeaderMax))
	if err != nil {
		return err
	}
	defer conn.Close()
	told, err := agentpb.NewPortsClient(conn).Attend(inner)
	if err == nil {
		err = told.Send(&agentpb.AttendRequest{})
	}
	if err != nil {
		return err
	}
	return p.follow(ctx, told)
}

// follow answers every message. Until all that was claimed before has been told, nothing is
// done: a port of one that is gone may be another's now.
func (p *ports) follow(ctx context.Context, told agentpb.Ports_AttendClient) error {
	messages := make(chan *agentpb.AttendReply)
	failed := make(chan error, 1)
	go func() {
		for {
			m, err := told.Recv()
			if err != nil {
				failed <- err // no receiver may be there any more
				return
			}
			select {
			case messages <- m:
			case <-told.Context().Done():
				return
			}
		}
	}()
	retry := time.NewTicker(retryInterval)
	defer retry.Stop()
	caughtUp := false
	var before backlog
	for {
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-retry.C:
			p.retry(ctx)
		case m := <-messages:
			switch {
			case m.GetCaughtUp():
				caughtUp = true
				p.keepOnly(before.messages)
				for _, m := range before.messages {
					if err := p.answer(ctx, told, m); err != nil {
						return err
					}
				}
				before = backlog{}
			case caughtUp:
				if err := p.answer(ctx, told, m); err != nil {
					return err
				}
			default:
				if err := before.add(m); err != nil {
					return err
				}
			}
		}
	}
}

func (p *ports) answer(ctx context.Context, told agentpb.Ports_AttendClient, m *agentpb.AttendReply) error {
	if m.GetRelease() {
		p.release(m.GetOwner())
		return nil
	}
	answer := &agentpb.AttendRequest{Id: m.GetId()}
	if err := p.open(ctx, m.GetOwner(), m.GetOpen()); err != nil {
		answer.Error = fmt.Sprintf("%.4000s", err)
	}
	return told.Send(answer)
}

// keepOnly closes what is not claimed any more.
func (p *ports) keepOnly(claimed []*agentpb.AttendReply) {
	keep := map[string]bool{}
	for _, m := range claimed {
		keep[m.GetOwner()] = !m.GetRelease()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for owner, c := range p.owners {
		if !keep[owner] {
			p.drop(owner, c)
		}
	}
}

func (p *ports) release(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.owners[owner]; ok {
		p.drop(owner, c)
	}
}

// drop closes the listeners; connections that came through them go on until they end.
func (p *ports) drop(owner string, c *publication) {
	for _, d := range c.listeners {
		p.shut(owner, d)
	}
	delete(p.owners, owner)
}

func (p *ports) shut(owner string, d *listener) {
	if d.close != nil {
		d.close()
		p.log.WithField("owner", owner).WithField("port", d.address()+"/"+d.protocol).Info("closed a published port")
	}
}

// open makes ports the whole of what owner publishes. Those that can be opened are, and the
// error tells of the others.
func (p *ports) open(ctx context.Context, owner string, wanted []*agentpb.Port) error {
	if len(owner) > ownerMax {
		return errOwner
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var old []*listener
	if c, ok := p.owners[owner]; ok {
		old = c.listeners
	}
	var errs []error
	if left := p.left(owner); len(wanted) > left {
		wanted, errs = wanted[:left], append(errs, p.rules.tooMany())
		p.log.WithError(errs[0]).WithField("owner", owner).Warn("publishing ports")
	}
	next := &publication{}
	for _, w := range wanted {
		d := p.newListener(w)
		if d.barred {
			p.log.WithField("owner", owner).WithError(d.err).Warn("publishing a port")
		}
		for i, o := range old {
			if o != nil && o.place == d.place && o.target == d.target {
				d, old[i] = o, nil
			}
		}
		next.listeners = append(next.listeners, d)
	}
	for _, o := range old {
		if o != nil {
			p.shut(owner, o)
		}
	}
	p.owners[owner] = next
	if len(next.listeners) == 0 {
		delete(p.owners, owner)
	}
	for _, d := range next.listeners {
		if d.close == nil && d.note == "" && !d.barred {
			p.openListener(ctx, owner, d)
		}
		errs = append(errs, d.err)
	}
	return errors.Join(errs...)
}

// retry opens what could not be opened when it should have come back.
func (p *ports) retry(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for owner, c := range p.owners {
		for _, d := range c.listeners {
			if d.err != nil && !d.barred {
				p.openListener(ctx, owner, d)
			}
		}
	}
}

// left is how many ports an owner may publish.
func (p *ports) left(owner string) int {
	n := p.rules.Max
	for other, c := range p.owners {
		if other != owner {
			n -= len(c.listeners)
		}
	}
	return n
}

func (p *ports) newListener(w *agentpb.Port) *listener {
	d := &listener{}
	d.place, d.target, d.err = p.rules.place(w)
	d.barred = d.err != nil
	return d
}

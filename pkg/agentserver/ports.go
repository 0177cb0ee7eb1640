package agentserver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/host"
)

const (
	// attendLimit is how long claims wait, together, for a relay to attend.
	attendLimit = 2 * time.Second
	// answerLimit is how long a claim waits for an answer of who attends.
	answerLimit = 5 * time.Second
)

// Ports keeps what containers publish, and has the one process that attends open it on the
// host. It serves agentpb.PortsServer.
type Ports struct {
	agentpb.UnimplementedPortsServer

	state string
	watch Watch
	log   logrus.FieldLogger

	mu     sync.Mutex
	claims map[string]*portClaim
	lastID int64
	// attending is the one, nil when there is none; alone is since when.
	attending *attendant
	alone     time.Time
	// changed is closed, and made anew, when attending changes.
	changed chan struct{}
}

// portClaim is what one container publishes through one network.
type portClaim struct {
	id    int64
	owner string
	ports []*agentpb.Port
	// answer is read by the Claim that waits; nil once none does.
	answer chan string
	// unwatch lets go of the process whose claim it is, if it is one's.
	unwatch context.CancelFunc
}

// Watch finds the process whose life an owner's claims last for: ended is closed when it has ended, at the latest until ctx ends. It is closed
// already for one that is gone. Nil is for an owner that is no process: that releases its claims.
type Watch func(ctx context.Context, owner string) (ended <-chan struct{})

// NewPorts takes up the claims in a file in memory, where they outlive the agent but not the
// machine. An empty name keeps them nowhere. Without watch, no owner is a process.
func NewPorts(ctx context.Context, state string, watch Watch, log logrus.FieldLogger) *Ports {
	if watch == nil {
		watch = func(context.Context, string) <-chan struct{} { return nil }
	}
	p := &Ports{state: state, watch: watch, log: log, claims: map[string]*portClaim{}, alone: time.Now(), changed: make(chan struct{})}
	text, err := os.ReadFile(state)
	if err != nil {
		if state != "" && !errors.Is(err, os.ErrNotExist) {
			log.WithError(err).Warn("published ports are forgotten")
		}
		return p
	}
	for line := range bytes.Lines(text) {
		var c agentpb.ClaimRequest
		if err := protojson.Unmarshal(line, &c); err != nil {
			log.WithError(err).Warn("a published port is forgotten")
			continue
		}
		p.lastID++
		p.claims[c.GetOwner()] = &portClaim{id: p.lastID, owner: c.GetOwner(), ports: c.GetPorts()}
	}
	p.mu.Lock() // one whose process has ended goes at once
	defer p.mu.Unlock()
	for _, c := range p.claims {
		p.hold(ctx, c)
	}
	return p
}

// Claim has ports opened on the host, and is refused when one is taken there. When no relay
// attends it is noted, and opened as soon as one does.
func (p *Ports) Claim(ctx context.Context, req *agentpb.ClaimRequest) (*agentpb.ClaimReply, error) {
	if n := len(req.GetPorts()); n > agent.PortsMax { // the other side would listen to nothing any more
		return nil, status.Errorf(codes.ResourceExhausted, "publishing %d ports: a container may publish %d at most", n, agent.PortsMax)
	}
	c := p.add(ctx, req)
	if c == nil {
		return &agentpb.ClaimReply{}, nil
	}
	limit, changed := p.patience()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case reason := <-c.answer:
			if reason == "" {
				return &agentpb.ClaimReply{}, nil
			}
			p.remove(c)
			return nil, status.Error(codes.AlreadyExists, reason)
		case <-changed:
			limit, changed = p.patience()
			timer.Reset(limit)
		case <-timer.C:
			if p.note(c) {
				p.log.WithField("owner", c.owner).Warn("no relay opens its ports on the host yet")
				return &agentpb.ClaimReply{}, nil
			}
			timer.Reset(answerLimit) // it was just answered
		case <-ctx.Done():
			p.remove(c)
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// patience is how long a claim waits, unless changed is closed before.
func (p *Ports) patience() (limit time.Duration, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attending != nil {
		return answerLimit, p.changed
	}
	return time.Until(p.alone.Add(attendLimit)), p.changed
}

// add makes a claim, in the place of one that the same owner had; nil when there is nothing
// to claim. A container in several networks publishes each port through the first.
func (p *Ports) add(ctx context.Context, req *agentpb.ClaimRequest) *portClaim {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropEnded(ctx, req.GetPorts())
	taken := map[string]bool{}
	for owner, c := range p.claims {
		if owner == req.GetOwner() || container(owner) != container(req.GetOwner()) {
			continue
		}
		for _, port := range c.ports {
			taken[place(port)] = true
		}
	}
	var ports []*agentpb.Port
	for _, port := range req.GetPorts() {
		if !taken[place(port)] && !p.covered(req.GetOwner(), port) {
			taken[place(port)] = true
			ports = append(ports, port)
		}
	}
	if len(ports) == 0 {
		p.drop(req.GetOwner())
		return nil
	}
	p.lastID++
	c := &portClaim{id: p.lastID, owner: req.GetOwner(), ports: ports, answer: make(chan string, 1)}
	if old := p.claims[c.owner]; old != nil {
		old.release()
	}
	p.claims[c.owner] = c
	p.hold(ctx, c)
	p.save()
	p.tell(c.message())
	return c
}

// container is whose network an owner is.
func container(owner string) string {
	id, _, _ := strings.Cut(owner, "/")
	return id
}

func place(p *agentpb.Port) string {
	return fmt.Sprintf("%s %s %d", p.GetProtocol(), p.GetHostIp(), p.GetHostPort())
}

func (c *portClaim) message() *agentpb.AttendReply {
	return &agentpb.AttendReply{Id: c.id, Owner: c.owner, Open: c.ports}
}

// note leaves a claim standing without an answer; false when one has come.
func (p *Ports) note(c *portClaim) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(c.answer) > 0 {
		return false
	}
	c.answer = nil
	return true
}

// remove takes a claim back, unless its owner has made another.
func (p *Ports) remove(c *portClaim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.claims[c.owner] == c {
		p.drop(c.owner)
	}
}

// Release takes back what an owner claimed, if anything.
func (p *Ports) Release(_ context.Context, req *agentpb.ReleaseRequest) (*agentpb.ReleaseReply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(req.GetOwner())
	return &agentpb.ReleaseReply{}, nil
}

func (p *Ports) drop(owner string) {
	c, ok := p.claims[owner]
	if !ok {
		return
	}
	c.release()
	delete(p.claims, owner)
	p.save()
	p.tell(&agentpb.AttendReply{Owner: owner, Release: true})
}

func (p *Ports) tell(m *agentpb.AttendReply) {
	if p.attending != nil {
		p.attending.push(m)
	}
}

// save writes all claims, a line each, in the order in which they were made.
func (p *Ports) save() {
	if p.state == "" {
		return
	}
	var text []byte
	for _, c := range p.inOrder() {
		line, err := protojson.Marshal(&agentpb.ClaimRequest{Owner: c.owner, Ports: c.ports})
		if err != nil {
			p.log.WithError(err).Error("keeping published ports")
			return
		}
		text = append(append(text, line...), '\n')
	}
	if err := host.WriteFile(p.state, text, 0o600); err != nil {
		p.log.WithError(err).Error("keeping published ports")
	}
}

func (p *Ports) inOrder() []*portClaim {
	var all []*portClaim
	for _, c := range p.claims {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *portClaim) int { return cmp.Compare(a.id, b.id) })
	return all
}

// Attend tells of every claim, and takes the answers. The relay that came last is the one.
func (p *Ports) Attend(stream agentpb.Ports_AttendServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	a := &attendant{wake: make(chan struct{}, 1), replaced: make(chan struct{})}
	p.welcome(a)
	defer p.leave(a)
	failed := make(chan error, 1)
	go func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			p.answered(answer)
		}
	}()
	for {
		for _, m := range a.take() {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		select {
		case <-a.wake:
		case <-a.replaced:
			return status.Error(codes.Aborted, "another process attends to published ports")
		case err := <-failed:
			return err
		}
	}
}

func (p *Ports) welcome(a *attendant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attending != nil {
		close(p.attending.replaced)
	}
	for _, c := range p.inOrder() {
		a.push(c.message())
	}
	a.push(&agentpb.AttendReply{CaughtUp: true})
	p.attending = a
	p.change()
}

func (p *Ports) leave(a *attendant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attending == a {
		p.attending, p.alone = nil, time.Now()
		p.change()
	}
}

func (p *Ports) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Ports) answered(a *agentpb.AttendRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.claims {
		if c.id != a.GetId() {
			continue
		}
		switch {
		case c.answer != nil && len(c.answer) == 0:
			c.answer <- a.GetError()
		case a.GetError() != "":
			p.log.WithField("owner", c.owner).WithField("error", a.GetError()).Warn("a port is not open on the host")
		}
	}
}

// attendant is one Attend, with what it still has to send.
type attendant struct {
	mu       sync.Mutex
	queue    []*agentpb.AttendReply
	wake     chan struct{}
	replaced chan struct{}
}

func (a *attendant) push(m *agentpb.AttendReply) {
	a.mu.Lock()
	a.queue = append(a.queue, m)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *attendant) take() []*agentpb.AttendReply {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.queue
	a.queue = nil
	return all
}

package agentserver

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// credentialsVariable holds a command's token and the socket where it counts: TOKEN@SOCKET.
const credentialsVariable = "LINNET_CREDENTIALS"

type helper struct {
	agentpb.UnimplementedHelperServer
	*Server
}

// Ask asks the client of the command that has the token.
func (s *helper) Ask(ctx context.Context, q *agentpb.HelperRequest) (*agentpb.Credentials, error) {
	c := s.commandOf(q.GetToken())
	if c == nil {
		return nil, status.Error(codes.PermissionDenied, "no running command has this token")
	}
	return c.ask(ctx, q.GetRegistry())
}

func (s *Server) commandOf(token string) *command {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.commands {
		if c.token != "" && c.token == token {
			return c
		}
	}
	return nil
}

// questions are those that the client has not answered yet.
type questions struct {
	mu   sync.Mutex
	last int64
	open map[int64]chan *agentpb.Credentials
}

func (c *command) ask(ctx context.Context, registry string) (*agentpb.Credentials, error) {
	id, answer := c.asked.add()
	defer c.asked.forget(id)
	q := &agentpb.CredentialsRequest{Id: id, Registry: strings.ToValidUTF8(registry, "\uFFFD")}
	if err := c.send(&agentpb.RunReply{What: &agentpb.RunReply_Credentials{Credentials: q}}); err != nil {
		return nil, agent.ToStatus(err)
	}
	select {
	case a := <-answer:
		return a, nil
	case <-c.stream.Context().Done():
		return nil, status.Error(codes.Aborted, "the command's client has gone")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *questions) add() (int64, <-chan *agentpb.Credentials) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		q.open = map[int64]chan *agentpb.Credentials{}
	}
	q.last++
	answer := make(chan *agentpb.Credentials, 1)
	q.open[q.last] = answer
	return q.last, answer
}

func (q *questions) answer(a *agentpb.Credentials) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if answer, ok := q.open[a.GetId()]; ok {
		answer <- a
		delete(q.open, a.GetId())
	}
}

func (q *questions) forget(id int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, id)
}

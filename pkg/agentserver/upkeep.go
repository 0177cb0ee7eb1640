package agentserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/host"
)

// trialLimit is how long a new program may take to say its version.
const trialLimit = 30 * time.Second

type upkeep struct {
	agentpb.UnimplementedUpkeepServer
	*Server
}

// Replaced is closed when another program is in this one's place, to be started.
func (s *Server) Replaced() <-chan struct{} { return s.replaced }

// Replace puts a new program in the place of ours.
func (s *upkeep) Replace(stream agentpb.Upkeep_ReplaceServer) error {
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	if err := s.mayReplace(m.GetForce()); err != nil {
		return err
	}
	force, sum := m.GetForce(), m.GetSha256()
	next, err := os.CreateTemp(filepath.Dir(s.o.Program), "."+filepath.Base(s.o.Program)+".")
	if err != nil {
		return agent.ToStatus(err)
	}
	defer func() { _ = os.Remove(next.Name()) }() // what was renamed is not there any more
	defer next.Close()
	hash := sha256.New()
	to := io.MultiWriter(next, hash)
	for ; err == nil; m, err = stream.Recv() {
		if _, err := to.Write(m.GetData()); err != nil {
			return agent.ToStatus(err)
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return status.Errorf(codes.DataLoss, "the program that arrived is another one: SHA-256 %s, not %s", got, sum)
	}
	if err := errors.Join(next.Chmod(0o755), next.Sync(), next.Close()); err != nil {
		return agent.ToStatus(err)
	}
	if err := try(stream.Context(), next.Name()); err != nil {
		return agent.ToStatus(err)
	}
	if err := s.mayReplace(force); err != nil {
		return err
	}
	if err := rename(next.Name(), s.o.Program); err != nil {
		return agent.ToStatus(err)
	}
	if err := stream.SendAndClose(&agentpb.ReplaceReply{}); err != nil {
		s.o.Log.WithError(err).Warn("the client that replaced the agent has gone")
	}
	s.replacedOnce.Do(func() { close(s.replaced) })
	return nil
}

func (s *Server) mayReplace(force bool) error {
	if s.o.Program == "" {
		return status.Error(codes.Unimplemented, "this agent is not replaced")
	}
	if n := s.Running(); n > 0 && !force {
		return status.Errorf(codes.FailedPrecondition, "%d commands run", n)
	}
	return nil
}

// try sees whether a program starts at all, before there is no other.
func try(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeout(ctx, trialLimit)
	defer cancel()
	var out bytes.Buffer
	code, err := host.Run(ctx, host.Command{Argv: []string{program, "version"}, Dir: "/", Stdout: &out, Stderr: &out})
	if err == nil && code != 0 {
		err = fmt.Errorf("it ends with exit code %d: %s", code, strings.TrimSpace(out.String()))
	}
	if err != nil {
		return fmt.Errorf("trying the new program: %w", err)
	}
	return nil
}

// rename puts a file in another's place so that one of them is there after a power cut.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

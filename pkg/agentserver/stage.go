package agentserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/host"
)

type stages struct {
	agentpb.UnimplementedStagesServer
	*Server
}

// stage is a private directory of a client.
type stage struct {
	id, dir string
	users   int  // commands that may use it
	held    bool // its client is there
}

// clearStages removes what clients of an earlier agent have left.
func (s *Server) clearStages() error {
	entries, err := os.ReadDir(s.o.Stages)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clearing staged files: %w", err)
	}
	for _, e := range entries {
		if err := host.RemoveTree(filepath.Join(s.o.Stages, e.Name())); err != nil {
			return fmt.Errorf("clearing staged files: %w", err)
		}
	}
	return nil
}

// Hold makes a directory. A client that ends the stream wants it removed; when one has gone,
// its commands are still ending, and may need it for that.
func (s *stages) Hold(stream agentpb.Stages_HoldServer) error {
	st, err := s.makeStage()
	if err != nil {
		return agent.ToStatus(err)
	}
	err = stream.Send(&agentpb.HoldReply{Stage: st.id, Dir: st.dir})
	if err == nil {
		_, err = stream.Recv()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.held = false
	if errors.Is(err, io.EOF) {
		st.users = 0
		return agent.ToStatus(s.sweep(st))
	}
	_ = s.sweep(st) // it has said so
	return err
}

func (s *Server) makeStage() (*stage, error) {
	if err := os.MkdirAll(s.o.Stages, 0o700); err != nil {
		return nil, fmt.Errorf("staging files: %w", err)
	}
	// Mode 0700, and a name that says whose it is: see package engine's sweepStages.
	dir, err := os.MkdirTemp(s.o.Stages, host.StagePrefix())
	if err != nil {
		return nil, fmt.Errorf("staging files: %w", err)
	}
	st := &stage{id: filepath.Base(dir), dir: dir, held: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stages[st.id] = st
	return st, nil
}

// sweep removes a stage that no client holds and no command uses. s.mu is held.
func (s *Server) sweep(st *stage) error {
	if st.held || st.users > 0 || s.stages[st.id] == nil {
		return nil
	}
	delete(s.stages, st.id)
	if err := host.RemoveTree(st.dir); err != nil {
		s.o.Log.WithError(err).Warn("removing staged files")
		return fmt.Errorf("removing staged files: %w", err)
	}
	return nil
}

// file is where a client's staged file is.
func (s *Server) file(id string, name []byte) (*stage, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.stages[id]
	if !ok || !st.held {
		return nil, "", status.Error(codes.FailedPrecondition, "the stage is closed")
	}
	n := string(name)
	if n == "" || n == "." || n == ".." || strings.ContainsAny(n, "/\x00") {
		return nil, "", status.Error(codes.InvalidArgument, "it is not the name of a file")
	}
	return st, filepath.Join(st.dir, n), nil
}

// Put writes a file, which is there whole or not at all.
func (s *stages) Put(stream agentpb.Stages_PutServer) error {
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	_, path, err := s.file(m.GetStage(), m.GetName())
	if err != nil {
		return err
	}
	// Beside the directory, on the same file system: no process in the guest meets a half.
	f, err := os.CreateTemp(s.o.Stages, host.StagePrefix()) // mode 0600
	if err != nil {
		return fileStatus(err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer f.Close()
	mode := fs.FileMode(m.GetMode()).Perm()
	for ; err == nil; m, err = stream.Recv() {
		if _, err := f.Write(m.GetData()); err != nil {
			return fileStatus(err)
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if err := errors.Join(f.Chmod(mode), f.Close()); err != nil {
		return fileStatus(err)
	}
	if err := os.Link(f.Name(), path); err != nil {
		return fileStatus(err)
	}
	return stream.SendAndClose(&agentpb.PutReply{})
}

// Get sends a file that is there now.
func (s *stages) Get(q *agentpb.GetRequest, stream agentpb.Stages_GetServer) error {
	_, path, err := s.file(q.GetStage(), q.GetName())
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fileStatus(err)
	}
	defer f.Close()
	if err := stream.Send(&agentpb.GetReply{}); err != nil {
		return err
	}
	_, err = io.CopyBuffer(sender{stream}, struct{ io.Reader }{f}, make([]byte, 64<<10))
	return fileStatus(err)
}

// sender sends what is written to it.
type sender struct{ stream agentpb.Stages_GetServer }

func (s sender) Write(p []byte) (int, error) {
	return len(p), s.stream.Send(&agentpb.GetReply{Data: p})
}

// fileStatus lets an error of a file cross, without the path, which the client knows better.
func fileStatus(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	code := codes.Internal
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code = codes.NotFound
	case errors.Is(err, fs.ErrExist):
		code = codes.AlreadyExists
	case errors.Is(err, fs.ErrPermission):
		code = codes.PermissionDenied
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		err = link.Err
	}
	return status.Error(code, err.Error())
}

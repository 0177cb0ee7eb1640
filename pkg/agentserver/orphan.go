package agentserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/host"
)

// record notes a running command for the next agent and returns the file. It is named as the
// process is, and holds its directory and what cleans up after it, never its environment.
func (s *Server) record(pid int, start *agentpb.Start) string {
	if s.o.Records == "" {
		return ""
	}
	text := string(start.GetDir())
	for _, word := range start.GetAbandoned() {
		text += "\x00" + string(word)
	}
	file := filepath.Join(s.o.Records, host.ProcessName(pid))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.o.Log.WithError(err).Warn("noting a command")
	}
	return file
}

// endOrphans begins to end the commands that an agent has left which was killed.
func (s *Server) endOrphans(ctx context.Context) error {
	if s.o.Records == "" {
		return nil
	}
	if err := os.MkdirAll(s.o.Records, 0o700); err != nil {
		return fmt.Errorf("looking for commands of an earlier agent: %w", err)
	}
	entries, err := os.ReadDir(s.o.Records)
	if err != nil {
		return fmt.Errorf("looking for commands of an earlier agent: %w", err)
	}
	for _, e := range entries {
		s.idle.Add(1)
		go func() {
			defer s.idle.Done()
			if err := s.endOrphan(ctx, filepath.Join(s.o.Records, e.Name())); err != nil {
				s.o.Log.WithError(err).Warn("ending a command of an earlier agent")
			}
		}()
	}
	return nil
}

// endOrphan does for the command of a record what its own agent would have done.
func (s *Server) endOrphan(ctx context.Context, record string) error {
	text, err := os.ReadFile(record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	name := filepath.Base(record)
	s.o.Log.WithField("process", name).Info("ending a command of an earlier agent")
	ctx, cancel := s.untilEnding(ctx)
	defer cancel()
	endProcess(ctx, name, s.o.Grace)
	words := strings.Split(string(text), "\x00")
	if len(words) > 1 {
		c := host.Command{Argv: s.argv(words[1:]), Env: s.o.Env, Dir: words[0]}
		if c.Dir == "" {
			c.Dir = s.o.Dir
		}
		if _, err := host.Run(ctx, c); err != nil {
			return err
		}
	}
	return os.Remove(record)
}

// orphanLimit bounds what is done about one command of an earlier agent.
const orphanLimit = time.Minute

// untilEnding is a context that ends when this Server's commands must.
func (s *Server) untilEnding(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), orphanLimit)
	go func() {
		select {
		case <-s.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// endProcess ends the process of that name, and its group: SIGTERM, and SIGKILL after grace.
func endProcess(ctx context.Context, name string, grace time.Duration) {
	digits, _, _ := strings.Cut(name, "-")
	pid, err := strconv.Atoi(digits)
	if err != nil || pid <= 1 {
		return
	}
	if grace == 0 {
		grace = 10 * time.Second
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	kill := time.After(grace)
	signal := func(s syscall.Signal) { _ = syscall.Kill(-pid, s) }
	if host.ProcessName(pid) == name {
		signal(syscall.SIGTERM)
		signal(syscall.SIGCONT)
	}
	for host.ProcessName(pid) == name {
		select {
		case <-tick.C:
		case <-kill:
			signal(syscall.SIGKILL)
		case <-ctx.Done():
			return
		}
	}
}

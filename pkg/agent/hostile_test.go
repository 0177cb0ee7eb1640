package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
)

// hostile is an agent that says what a test wants, over a real socket.
type hostile struct {
	agentpb.UnimplementedEngineServer
	agentpb.UnimplementedCommandsServer
	agentpb.UnimplementedStagesServer

	info  func() *agentpb.InfoReply
	ready func(grpc.ServerStreamingServer[agentpb.Event]) error
	run   func(agentpb.Commands_RunServer) error
	hold  *agentpb.HoldReply
	get   func(agentpb.Stages_GetServer) error
}

func (h *hostile) Info(context.Context, *agentpb.InfoRequest) (*agentpb.InfoReply, error) {
	return h.info(), nil
}

func (h *hostile) Ready(_ *agentpb.ReadyRequest, s grpc.ServerStreamingServer[agentpb.Event]) error {
	return h.ready(s)
}

func (h *hostile) Run(s agentpb.Commands_RunServer) error { return h.run(s) }

func (h *hostile) Hold(s agentpb.Stages_HoldServer) error {
	if err := s.Send(h.hold); err != nil {
		return err
	}
	<-s.Context().Done()
	return nil
}

func (h *hostile) Get(_ *agentpb.GetRequest, s agentpb.Stages_GetServer) error { return h.get(s) }

// serve serves until the test ends.
func (h *hostile) serve(t *testing.T) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "ln-")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	agentpb.RegisterEngineServer(g, h)
	agentpb.RegisterCommandsServer(g, h)
	agentpb.RegisterStagesServer(g, h)
	go func() { _ = g.Serve(l) }()
	c, err := Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		g.Stop()
		os.RemoveAll(dir)
	})
	return c
}

// withinAMinute fails when a call takes longer than a minute, which none may.
func withinAMinute(t *testing.T, what func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- what() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
		return nil
	}
}

func TestAnAgentChoosesNoSize(t *testing.T) {
	if testing.Short() {
		t.Skip("it sends a mass of data")
	}
	large := strings.Repeat("x", 3<<20)
	many := make([]*agentpb.Daemon, 1000)
	for i := range many {
		many[i] = &agentpb.Daemon{Name: "x"}
	}
	empty := make([]*agentpb.Daemon, 100_000)
	for i := range empty {
		empty[i] = &agentpb.Daemon{}
	}
	reply := func(r *agentpb.RunReply) func(agentpb.Commands_RunServer) error {
		return func(s agentpb.Commands_RunServer) error {
			for {
				if err := s.Send(r); err != nil {
					return err
				}
			}
		}
	}
	run := func(c *Client) error {
		return c.Run(t.Context(), guest.Process{Argv: []string{"x"}, Stdin: strings.NewReader("x"), Stdout: io.Discard, Stderr: io.Discard})
	}
	for name, c := range map[string]struct {
		agent hostile
		ask   func(*Client) error
		want  string
	}{
		"a large answer": {
			hostile{info: func() *agentpb.InfoReply { return &agentpb.InfoReply{Version: large} }},
			func(c *Client) error { _, err := c.Info(t.Context()); return err },
			"sends a message of more than 128 KiB",
		},
		"a large answer of small parts": {
			hostile{info: func() *agentpb.InfoReply { return &agentpb.InfoReply{Daemons: empty} }},
			func(c *Client) error { _, err := c.Info(t.Context()); return err },
			"sends a message of more than 128 KiB",
		},
		"many daemons": {
			hostile{info: func() *agentpb.InfoReply { return &agentpb.InfoReply{Daemons: many} }},
			func(c *Client) error { _, err := c.Info(t.Context()); return err },
			"tells of 1000 daemons, and 16 are the most",
		},
		"endless events": {
			hostile{ready: func(s grpc.ServerStreamingServer[agentpb.Event]) error {
				text := strings.Repeat("x", 16<<10) // all of them are 160 MiB, more than may be taken
				for {
					if err := s.Send(&agentpb.Event{Kind: agentpb.Event_KIND_STEP, Text: text}); err != nil {
						return err
					}
				}
			}},
			func(c *Client) error { return c.Ready(t.Context(), func(*agentpb.Event) {}) },
			"tells of more than 10000 events",
		},
		"large output": {
			hostile{run: reply(&agentpb.RunReply{What: &agentpb.RunReply_Stdout{Stdout: []byte(large)}})},
			run,
			"sends a message of more than 1024 KiB",
		},
		"input taken back": {
			hostile{run: reply(&agentpb.RunReply{What: &agentpb.RunReply_Grant{Grant: -1}})},
			run,
			"takes -1 bytes of input at once",
		},
		"input without end": {
			hostile{run: reply(&agentpb.RunReply{What: &agentpb.RunReply_Grant{Grant: 1 << 62}})},
			run,
			"takes 4611686018427387904 bytes of input at once",
		},
		"an exit code": {
			hostile{run: reply(&agentpb.RunReply{What: &agentpb.RunReply_Exit{Exit: &agentpb.Exit{Code: 70000}}})},
			run,
			"says that the command ended with 70000",
		},
		"credentials that the client does not give": {
			hostile{run: reply(&agentpb.RunReply{What: &agentpb.RunReply_Credentials{Credentials: &agentpb.CredentialsRequest{Registry: "a\x1b"}}})},
			run,
			`asks for the credentials of "a\x1b", and this command was given none`,
		},
		"a stage that is a flag": {
			hostile{hold: &agentpb.HoldReply{Stage: "x", Dir: "--privileged"}},
			func(c *Client) error { _, err := c.Stage(t.Context()); return err },
			`says that files are staged in "--privileged"`,
		},
		"a file without end": {
			hostile{hold: &agentpb.HoldReply{Stage: "x", Dir: "/x"}, get: func(s agentpb.Stages_GetServer) error {
				for {
					if err := s.Send(&agentpb.GetReply{Data: make([]byte, 64<<10)}); err != nil {
						return err
					}
				}
			}},
			func(c *Client) error {
				s, err := c.Stage(t.Context())
				if err != nil {
					return err
				}
				r, err := s.Get(t.Context(), "x")
				if err != nil {
					return err
				}
				defer r.Close()
				_, err = io.Copy(io.Discard, r)
				return err
			},
			"sends a staged file of more than 16 MiB",
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, before := c.agent.serve(t), runtime.NumGoroutine()
			peak := peakHeap(t)
			err := withinAMinute(t, func() error { return c.ask(client) })
			if !errors.Is(err, ErrBreach) || !strings.HasSuffix(err.Error(), "the guest's agent does not keep to the protocol: it "+c.want) {
				t.Errorf("it ends with %v", err)
			}
			// The agent is in this process, too.
			if mib := peak() >> 20; mib > 96 {
				t.Errorf("it takes %d MiB", mib)
			}
			if n := runtime.NumGoroutine(); n > before+50 {
				t.Errorf("%d goroutines, and %d before", n, before)
			}
		})
	}
}

// peakHeap measures the heap until it is asked. What is not referred to any more is collected early meanwhile, and so counts little,
// also on a busy machine.
func peakHeap(t *testing.T) func() uint64 {
	t.Helper()
	usual := debug.SetGCPercent(20)
	runtime.GC()
	var peak atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapAlloc))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		debug.SetGCPercent(usual)
		return peak.Load()
	}
}

func TestTextsOfAnAgentAreShortAndClean(t *testing.T) {
	evil := "\x1b]0;title\x07" + strings.Repeat("x", 500<<10)
	for name, err := range map[string]error{
		"of a command": func() error {
			h := hostile{run: func(s agentpb.Commands_RunServer) error {
				return s.Send(&agentpb.RunReply{What: &agentpb.RunReply_Exit{Exit: &agentpb.Exit{Code: 1, Error: evil}}})
			}}
			return h.serve(t).Run(t.Context(), guest.Process{Argv: []string{"x"}})
		}(),
		"of a call":        FromStatus(status.Error(codes.Internal, evil)),
		"of an honest one": FromStatus(ToStatus(errors.New(evil))),
	} {
		if err == nil || len(err.Error()) > 5<<10 || strings.ContainsAny(err.Error(), "\x1b\x07") || !strings.HasPrefix(err.Error(), `\x1b]0;title\x07xxx`) {
			t.Errorf("%s: %.100q", name, err)
		}
	}
}

// An agent that asks for everything at once is answered one after the other, and not for long.
func TestCredentialsAreGivenOneAtATime(t *testing.T) {
	h := hostile{run: func(s agentpb.Commands_RunServer) error {
		for id := range int64(50_000) {
			if err := s.Send(&agentpb.RunReply{What: &agentpb.RunReply_Credentials{Credentials: &agentpb.CredentialsRequest{Id: id, Registry: "x"}}}); err != nil {
				return err
			}
		}
		<-s.Context().Done()
		return nil
	}}
	var now, most, all atomic.Int64
	err := withinAMinute(t, func() error {
		return h.serve(t).Run(t.Context(), guest.Process{Argv: []string{"x"}, Credentials: func(ctx context.Context, _ string) (guest.Credentials, error) {
			all.Add(1)
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			<-ctx.Done() // a helper that asks the user for leave
			return guest.Credentials{}, ctx.Err()
		}})
	})
	if want := "asks for the credentials of more than 256 registries at once"; !errors.Is(err, ErrBreach) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("it ends with %v", err)
	}
	if most.Load() > 1 || all.Load() > 1 {
		t.Errorf("%d at once, %d in all", most.Load(), all.Load())
	}
}

func TestAnAgentThatSpeaksNoProtocolIsAnError(t *testing.T) {
	for name, say := range map[string]string{
		"text":            strings.Repeat("HTTP/1.1 200 OK\r\n\r\n", 1000),
		"a frame of 16M":  "\xff\xff\xff\x00\x00\x00\x00\x00\x01" + strings.Repeat("x", 1<<20),
		"reserved bits":   "\x00\x00\x04\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"an end":          "",
		"too many zeroes": strings.Repeat("\x00", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				_, _ = io.ReadFull(far, make([]byte, 24)) // the preface
				go func() { _, _ = io.Copy(io.Discard, far) }()
				_, _ = io.WriteString(far, say)
				far.Close()
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c, err := Connect(ctx, func(context.Context) (net.Conn, error) { return near, nil })
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := withinAMinute(t, func() error { _, err := c.Info(ctx); return err }); err == nil || ctx.Err() != nil {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

func FuzzFramedNeitherPanicsNorGivesMoreThanItGot(f *testing.F) {
	f.Add([]byte("\x00\x03abc\x00\x00"))
	f.Add([]byte("\xff\xffabc"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := io.ReadAll(NewFramed(bytes.NewReader(data), nil))
		if len(got) > len(data) || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q gives %d bytes and %v", data, len(got), err)
		}
		// What is sent in frames comes back.
		var wire sent
		out := NewFramed(nil, &wire)
		if _, err := out.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := out.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(NewFramed(&wire, nil)); err != nil || !bytes.Equal(back, data) {
			t.Errorf("%q comes back as %q, %v", data, back, err)
		}
	})
}

func FuzzAnAnswerToADialIsShort(f *testing.F) {
	f.Add([]byte("OK\n"))
	f.Add([]byte("ERR no\x1b\n"))
	f.Add(bytes.Repeat([]byte("x"), 2000))
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := net.Pipe()
		go func() {
			go func() { _, _ = io.Copy(io.Discard, far) }()
			_, _ = far.Write(data)
			far.Close()
		}()
		defer near.Close()
		if err := ask(near, "x"); err != nil && (len(err.Error()) > 5<<10 || strings.ContainsRune(err.Error(), '\x1b')) {
			t.Errorf("%q gives %q", data, err)
		}
	})
}

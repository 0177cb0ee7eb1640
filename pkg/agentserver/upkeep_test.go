package agentserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// fakeEngine starts anew when the agent is replaced.
type fakeEngine struct {
	agentpb.UnimplementedEngineServer
	*Server
}

func (f *fakeEngine) Info(context.Context, *agentpb.InfoRequest) (*agentpb.InfoReply, error) {
	reply := &agentpb.InfoReply{StartedUnixNano: 1}
	select {
	case <-f.Replaced():
		reply.StartedUnixNano = 2
	default:
	}
	return reply, nil
}

func TestTheAgentIsReplacedByAProgramThatWorks(t *testing.T) {
	program := filepath.Join(t.TempDir(), "linnet-agent")
	if err := os.WriteFile(program, []byte("old"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := newLab(t, func(o *Options) { o.Program = program })
	c := l.client(t)
	replace := func(text, sum string, force bool) error {
		if sum == "" {
			of := sha256.Sum256([]byte(text))
			sum = hex.EncodeToString(of[:])
		}
		return c.Replace(t.Context(), strings.NewReader(text), sum, force)
	}
	good := "#!/bin/sh\n[ \"$1\" = version ] || exit 1\n# " + strings.Repeat("x", 1<<20) + "\n"

	ctx, cancel := context.WithCancel(t.Context())
	done := started(t, c, ctx, sh("echo ready; exec sleep 600"))
	if err := replace(good, "", false); !errors.Is(err, agent.ErrBusy) {
		t.Errorf("while a command runs: %v", err)
	}
	for want, err := range map[string]error{
		"replacing the agent: the program that arrived is another one: ":                   replace(good, strings.Repeat("0", 64), true),
		"replacing the agent: trying the new program: it ends with exit code 3: no good":   replace("#!/bin/sh\necho no good; exit 3\n", "", true),
		"replacing the agent: trying the new program: starting \"" + filepath.Dir(program): replace("\x7fELF and no more", "", true),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if got := contents(program); got != "old" {
		t.Errorf("the program is now %.20q", got)
	}
	if err := replace(good, "", true); err != nil {
		t.Error(err)
	}
	if got := contents(program); got != good {
		t.Errorf("the program is now %.20q", got)
	}
	files, err := os.ReadDir(filepath.Dir(program))
	if err != nil || len(files) != 1 {
		t.Errorf("beside it there is %v, %v", files, err)
	}
	cancel()
	_ = awaitResult(t, done)
}

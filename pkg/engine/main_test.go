//go:build linux

package engine

import (
	"bytes"
	"errors"
	"net"
	"os"
	"slices"
	"testing"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/host"
)

func TestNoVariableOfTheUsersReachesTheDaemons(t *testing.T) {
	got := daemonEnv([]string{
		"PATH=/opt/bin", "HOME=/root", "TOKEN=secret", "AWS_SECRET_ACCESS_KEY=secret", "http_proxy=http://p", "NO_PROXY=a,b", "LANG=C",
		"LINNET_HOME=/x", "XDG_RUNTIME_DIR=/run/user/0", "NOTIFY_SOCKET=/n", "CONTAINERD_ADDRESS=/c", "PATHS=/x", "TZ=UTC", "LD_PRELOAD=/e.so",
	}, fixed)
	want := []string{
		"HOME=/root", "http_proxy=http://p", "NO_PROXY=a,b", "LANG=C", "TZ=UTC",
		"PATH=/usr/libexec/linnet/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "XDG_RUNTIME_DIR=" + fixed.Volatile(),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestASecondAgentGivesWayToOneThatServes(t *testing.T) {
	home, err := os.MkdirTemp("", "ln-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	l := host.Layout{Home: home}
	if err := os.MkdirAll(l.Run(), 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := lockAgent(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", l.Socket("agent"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockAgent(t.Context(), l); !errors.Is(err, errServed) {
		t.Errorf("beside one that serves: %v", err)
	}
	listener.Close()
	// One that is just ending is waited for.
	got := make(chan error, 1)
	go func() {
		lock, err := lockAgent(t.Context(), l)
		if err == nil {
			lock.Close()
		}
		got <- err
	}()
	first.Close()
	if err := <-got; err != nil {
		t.Errorf("after one that ended: %v", err)
	}
}

func TestMainRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{nil, {"serve"}, {"other", "--spec", "x"}, {"serve", "--nonsense"}, {"mounts"}, {"mounts", "--home", "x"}, {"mounts", "--home", "/x", "y"}} {
		var out, errs bytes.Buffer
		if code := Main(t.Context(), args, &out, &errs); code != 2 || out.Len() != 0 || !bytes.HasSuffix(errs.Bytes(), []byte(usage+"\n")) {
			t.Errorf("%q: exit code %d, %q, %q", args, code, &out, &errs)
		}
	}
	var out, errs bytes.Buffer
	if code := Main(t.Context(), []string{"version"}, &out, &errs); code != 0 || out.String() != agent.Version+"\n" {
		t.Errorf("version: exit code %d, %q", code, &out)
	}
	out.Reset()
	if code := Main(t.Context(), []string{"clean", "--spec", "/nonexistent"}, &out, &errs); code != 1 || errs.Len() != 0 ||
		out.String() != "reading the engine's specification: open /nonexistent: no such file or directory" {
		t.Errorf("no specification: exit code %d, %q, %q", code, &out, &errs)
	}
	out.Reset()
	if code := Main(t.Context(), []string{"mounts", "--home", t.TempDir()}, &out, &errs); code != 0 || out.Len() != 0 || errs.Len() != 0 {
		t.Errorf("nothing mounted: exit code %d, %q, %q", code, &out, &errs)
	}
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

func TestErrorsCrossTheSocketWithTheirHints(t *testing.T) {
	if ToStatus(nil) != nil || FromStatus(nil) != nil {
		t.Error("no error became one")
	}
	plain := FromStatus(ToStatus(errors.New("two\nlines")))
	if plain.Error() != "two\nlines" {
		t.Errorf("got %q", plain)
	}
	crossed := FromStatus(ToStatus(fmt.Errorf("outer: %w", hint.New("inner", "do this"))))
	if crossed.Error() != "outer: inner" || hint.Of(crossed) != "do this" {
		t.Errorf("got %v", crossed)
	}
	if err := errors.New("no status"); !errors.Is(FromStatus(err), err) {
		t.Error("an error that did not cross was changed")
	}
}

func TestAnAgentThatEndsIsToldFromOneThatFails(t *testing.T) {
	for _, err := range []error{ToStatus(fmt.Errorf("waiting: %w", ErrStopping)), status.Error(codes.Unavailable, "connection reset")} {
		if got := FromStatus(err); !errors.Is(got, ErrStopping) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := FromStatus(ToStatus(errors.New("other"))); errors.Is(got, ErrStopping) {
		t.Errorf("got %v", got)
	}
}

func TestSpecComesBackAsItWasWritten(t *testing.T) {
	home := t.TempDir()
	spec := Spec{
		Layout: host.Layout{Home: home, Libexec: "/x"}, Snapshotter: "overlayfs", Subnet: "10.0.0.0/16",
		StopTimeout: 3 * time.Second, LogSize: 5, LogFiles: 2, LogLevel: "info", CacheBytes: 7, CacheAge: time.Hour,
		InsecureRegistries: []string{"a:5000"}, HostsDirs: []string{"/etc/a"},
	}
	if err := os.MkdirAll(filepath.Dir(spec.Layout.Spec()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := spec.Write(); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSpec(spec.Layout.Spec())
	if err != nil || !reflect.DeepEqual(got, spec) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.WriteFile(spec.Layout.Spec(), []byte(`{"layout":`), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "reading the engine's specification " + spec.Layout.Spec() + ": unexpected end of JSON input"
	if _, err := ReadSpec(spec.Layout.Spec()); err == nil || err.Error() != want {
		t.Errorf("a torn one: %v", err)
	}
}

// A machine that dies between two words leaves a client without any answer.
func TestACommandOfWhichNothingIsHeardCanBeGivenUp(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c, err := Connect(t.Context(), func(context.Context) (net.Conn, error) { return near, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.ReadFull(far, make([]byte, 64)) // it has begun to speak
		cancel()
		_, _ = io.Copy(io.Discard, far)
	}()
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, guest.Process{Argv: []string{"true"}}) }()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it is waited for")
	}
}

func TestNoAgentListens(t *testing.T) {
	dir, err := os.MkdirTemp("", "ln-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file, stale := filepath.Join(dir, "file"), filepath.Join(dir, "stale")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, path := range []string{filepath.Join(dir, "absent"), filepath.Join(dir, "absent", "absent"), filepath.Join(file, "below"), file, stale} {
		if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Package gather reads what package doctor judges: small readers of /proc, /sys, files and sockets, each of which takes a
// moment, and one that repairs what a finding says may be repaired. Texts are read by pure functions.
//
// It starts nothing, changes nothing but in Repair, and must not judge: what cannot be read is not known.
package gather

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Source says where facts are.
type Source struct {
	// Root is what the system's files are below: "/"; a test has another.
	Root string
	// Layout is where linnet keeps its things, and LayoutError why it may not be used: then the Layout is what it would be.
	Layout      host.Layout
	LayoutError error
	// LookupEnv is the environment.
	LookupEnv func(name string) (string, bool)
	// Program is the running program's path.
	Program string
	// DockerSocket is where tools look for Docker's socket by themselves.
	DockerSocket string
	// DNSPort is the port of name servers; "" is 53. DNSLimit is how long one may take to answer; 0 is a fifth of a second.
	DNSPort  string
	DNSLimit time.Duration
}

// Read reads the facts of this host. What an engine, settings and components are, the caller adds.
func Read(ctx context.Context, s Source) *doctor.Facts {
	f := &doctor.Facts{OS: runtime.GOOS, Root: os.Geteuid() == 0, User: userName(s.LookupEnv), Now: time.Now()}
	if info, err := os.Stat(s.Program); err == nil {
		f.Built = info.ModTime()
	}
	var asking sync.WaitGroup
	asking.Go(func() { f.DNS = s.dns(ctx) })
	f.Home = s.home(ctx)
	f.Proxy = s.proxy()
	f.Docker = s.docker(ctx)
	f.Engine.Runtime = s.Layout.Volatile()
	_, err := os.Stat(f.Engine.Runtime)
	f.Engine.RuntimeMissing = errors.Is(err, os.ErrNotExist)
	s.readSystem(f)
	asking.Wait()
	return f
}

// at is a path of the system's.
func (s Source) at(path string) string { return filepath.Join(s.Root, path) }

// text is what a file of the system's says; ok reports whether it could be read.
func (s Source) text(path string) (text string, ok bool) {
	b, err := host.ReadHead(s.at(path), 1<<20)
	return string(b), err == nil
}

// has reports whether there is a file of the system's that matches one of some patterns of filepath.Glob.
func (s Source) has(patterns ...string) bool {
	for _, p := range patterns {
		if found, _ := filepath.Glob(s.at(p)); len(found) > 0 { // the patterns are fine
			return true
		}
	}
	return false
}

func (s Source) env(name string) string {
	value, _ := s.LookupEnv(name)
	return value
}

func userName(lookup func(string) (string, bool)) string {
	for _, name := range []string{"USER", "LOGNAME"} {
		if value, _ := lookup(name); value != "" {
			return value
		}
	}
	return "you"
}

// problem is an error as a finding says it.
func problem(err error) *doctor.Problem {
	if err == nil {
		return nil
	}
	return &doctor.Problem{Text: err.Error(), Fix: hint.Of(err)}
}

package guesttest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Fake is a guest for tests of the code above the seam. It runs processes on this machine,
// but it is as foreign as a virtual machine: its environment is its own, it sees only what
// is shared, and sees that under other paths. It never replaces.
//
// It needs a Root; everything else may be left out. Its fields must not change once it is
// in use; its methods are safe for concurrent use.
type Fake struct {
	// Root is an empty directory of the test's, where the fake keeps what it needs.
	Root string
	// Shares are the directories that the guest sees; the first that holds a path counts.
	Shares []Share
	// Env is the guest's own environment besides HOME and PATH, and PATH that one; empty
	// means the usual one. An engine's nerdctl can stand first in it.
	Env  []string
	PATH string
	// Sockets are the unix sockets of the services that answer.
	Sockets map[guest.Service]string
	// Grace is the time between SIGTERM and SIGKILL; 0 means half a second.
	Grace time.Duration

	prepared sync.Once
	mounts   []mount
	home     string
	failure  error // of prepare
}

// Share is a directory that a Fake sees, as Root/mnt/N, where N counts the shares from 0.
type Share struct {
	// Host is the directory on the host.
	Host string
	// ReadOnly is what Visible says. The fake does not enforce it: use a directory that
	// is read-only already.
	ReadOnly bool
}

var _ guest.Guest = (*Fake)(nil)

// mount is a Share with its links resolved and its path in the guest.
type mount struct {
	host, guest string
	readOnly    bool
}

// Ready makes the mount points, once.
func (f *Fake) Ready(context.Context) error {
	f.prepared.Do(func() { f.failure = f.prepare() })
	return f.failure
}

func (f *Fake) prepare() error {
	root, err := filepath.EvalSymlinks(f.Root)
	if err != nil {
		return fmt.Errorf("preparing a fake guest: %w", err)
	}
	f.home = filepath.Join(root, "home")
	for _, dir := range []string{f.home, filepath.Join(root, "mnt")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("preparing a fake guest: %w", err)
		}
	}
	for i, share := range f.Shares {
		target, err := filepath.EvalSymlinks(share.Host)
		if err != nil {
			return fmt.Errorf("sharing %s: %w", share.Host, err)
		}
		at := filepath.Join(root, "mnt", strconv.Itoa(i))
		// Another process with the same Root may have been here first.
		if err := os.Symlink(target, at); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("sharing %s: %w", share.Host, err)
		}
		f.mounts = append(f.mounts, mount{host: target, guest: at, readOnly: share.ReadOnly})
	}
	return nil
}

// Run runs p on this machine, in a home directory of the fake's.
func (f *Fake) Run(ctx context.Context, p guest.Process) error {
	if err := f.Ready(ctx); err != nil {
		return err
	}
	path := f.PATH
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	env := append([]string{"HOME=" + f.home, "PATH=" + path}, f.Env...)
	c := host.Command{
		Argv: p.Argv, Env: append(env, p.Env...), Variables: p.Variables, Dir: p.Dir,
		Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr,
		Signals: p.Signals, Grace: f.Grace, OnCancel: p.OnCancel,
	}
	if c.Dir == "" {
		c.Dir = f.home
	}
	if c.Grace == 0 {
		c.Grace = 500 * time.Millisecond
	}
	if p.TTY != nil {
		c.Terminal = &host.Terminal{Term: p.TTY.Term, Size: p.TTY.Size, Resize: p.TTY.Resize}
	}
	code, err := host.Run(ctx, c)
	if err == nil && code != 0 {
		err = &guest.ExitError{Code: code}
	}
	return err
}

// Path finds the share that holds what name leads to.
func (f *Fake) Path(name string) (guest.Visible, error) {
	f.prepared.Do(func() { f.failure = f.prepare() })
	if f.failure != nil {
		return guest.Visible{}, f.failure
	}
	hidden := func(reason string) (guest.Visible, error) {
		return guest.Visible{}, &guest.NotVisibleError{Host: name, Reason: reason, Fix: "share it in Fake.Shares"}
	}
	if !filepath.IsAbs(name) {
		return hidden("the path is not absolute")
	}
	target, err := resolve(filepath.Clean(name))
	if err != nil {
		return hidden(err.Error())
	}
	for _, m := range f.mounts {
		rel, err := filepath.Rel(m.host, target)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return guest.Visible{Path: filepath.Join(m.guest, rel), ReadOnly: m.readOnly}, nil
		}
	}
	return hidden("no share holds it")
}

// resolve resolves the links of the part of a path that is there.
func resolve(name string) (string, error) {
	target, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) && name != "/" {
		target, err = resolve(filepath.Dir(name))
		target = filepath.Join(target, filepath.Base(name))
	}
	return target, err
}

// Capabilities are those of a virtual machine.
func (*Fake) Capabilities() guest.Capabilities { return guest.Capabilities{Machine: true} }

// Dial connects to one of Sockets.
func (f *Fake) Dial(ctx context.Context, s guest.Service) (net.Conn, error) {
	socket, ok := f.Sockets[s]
	if !ok {
		return nil, fmt.Errorf("connecting to %s: the guest has no such service", s)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", s, err)
	}
	return conn, nil
}

//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/host"
)

// stop ends dockerd and, through it, its containers, which it marks as running when it ended: those with a restart policy start
// with it again. Each has the time that it was made with; what runs after timeout is left to drain. run must have ended.
func (k *docker) stop(ctx context.Context, timeout time.Duration) error {
	if err := k.takeContainers(ctx); err != nil {
		k.log.WithError(err).Warn("dockerd leaves its containers running")
	}
	return k.daemon.stop(ctx, timeout+dockerGrace)
}

// reloadLimit bounds how long dockerd may take to read its configuration again.
const reloadLimit = 5 * time.Second

// takeContainers has a dockerd that runs take its containers along when it ends: it is told so by its configuration, which it reads again at
// SIGHUP. One that does not answer yet would die of that signal.
func (k *docker) takeContainers(ctx context.Context) error {
	p, ok := findDaemon(k.daemon.argv)
	if !ok {
		return nil
	}
	defer p.Close()
	if !host.Listens(k.daemon.socket) {
		return errors.New("it does not answer")
	}
	n, ok := readDockerNetwork(k.spec.Layout)
	if !ok {
		return fmt.Errorf("reading %s: no addresses of dockerd's", k.spec.Layout.DockerNetwork())
	}
	if err := k.writeConfig(n, false); err != nil {
		return err
	}
	if err := p.Signal(unix.SIGHUP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var info struct{ LiveRestoreEnabled bool }
		if err := k.ask(ctx, "/info", &info); err == nil && !info.LiveRestoreEnabled {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("it does not read its configuration again")
		case <-tick.C:
		}
	}
}

// sweepDocker removes what dockerd has left outside of its directories, once it and its containers have ended: rules and
// bridges. It makes them again when it starts, as after a reboot.
func sweepDocker(ctx context.Context, l host.Layout, env []string) error {
	if _, err := os.Stat(l.DockerNetwork()); errors.Is(err, os.ErrNotExist) {
		return nil // it never ran
	}
	t := newDockerTraces(l)
	err := errors.Join(dropDockerBridges(t.bridges), t.remove(ctx, env))
	if err != nil {
		err = fmt.Errorf("removing what dockerd left: %w", err)
	}
	return err
}

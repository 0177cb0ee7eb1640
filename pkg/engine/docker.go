//go:build linux

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/config"
	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agentserver/portproxy"
	"github.com/linnet-dev/linnet/pkg/dockerapi"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// docker is Docker's API on this engine: a door that clients come to, and dockerd, which runs while they want it.
type docker struct {
	spec   agent.Spec
	nets   networks
	daemon *daemon
	// gateway is the address at which containers reach the host, or "".
	gateway string
	door    *dockerapi.Door
	log     logrus.FieldLogger
}

func newDocker(spec agent.Spec, nets networks, d *daemon, gateway string, log logrus.FieldLogger) *docker {
	k := &docker{spec: spec, nets: nets, daemon: d, gateway: gateway, log: log}
	d.prepare = k.prepare
	var where func(string) (string, error)
	if spec.GuestSocket != "" {
		d.env = append(slices.Clip(d.env), portproxy.SocketVariable+"="+spec.GuestSocket)
		where = newGuestPaths(spec).find
	}
	k.door = dockerapi.New(dockerapi.Config{
		Start: d.ready,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.socket)
		},
		Path:    where,
		Gateway: gateway != "",
		Log:     log,
	})
	return k
}

// dockerGrace is how much longer than its containers dockerd may take to end.
const dockerGrace = 5 * time.Second

// dockerPID is dockerd's pid file: it wants one, and takes a stale one for a dockerd that runs.
func dockerPID(l host.Layout) string { return filepath.Join(l.DockerState(), "dockerd.pid") }

func removeDockerPID(_ context.Context, l host.Layout) error { return removeFile(dockerPID(l)) }

// prepare makes what dockerd needs: directories, a bridge of our own, its configuration. It refuses beside another dockerd.
func (k *docker) prepare(context.Context) error {
	l := k.spec.Layout
	if err := refuseOtherDocker(l); err != nil {
		return err
	}
	if _, err := os.Stat(k.daemon.argv[0]); errors.Is(err, os.ErrNotExist) {
		return hint.With(fmt.Errorf("starting dockerd: %s: no such program", k.daemon.argv[0]), "install linnet's components whole, or set docker.socket to off")
	}
	for _, dir := range []string{l.DockerRoot(), l.DockerState()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making dockerd's directories: %w", err)
		}
	}
	if err := noteDockerMount(l); err != nil {
		return err
	}
	n, err := k.nets.ensureDocker(k.spec.Subnet)
	if err != nil {
		return err
	}
	if err := ensureBridge(n.bridge(l)); err != nil {
		return err
	}
	return k.writeConfig(n, true)
}

// writeConfig writes what dockerd reads. With liveRestore its containers run on when it ends.
func (k *docker) writeConfig(n dockerNetwork, liveRestore bool) error {
	f := newFields(k.spec, k.gateway)
	f.DockerPool, f.LiveRestore = n.Pool.String(), liveRestore
	file := services[guest.Docker].config
	text, err := render(file, config.DockerdJSON, f)
	if err != nil {
		return err
	}
	return host.WriteFile(k.spec.Layout.Config(file), text, 0o600)
}

// run serves clients until ctx ends, and puts dockerd to sleep when none wants it.
func (k *docker) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if k.spec.DockerSocket {
		if wantsDocker(k.spec.Layout) {
			k.daemon.wake()
		}
		wg.Go(func() { k.serve(ctx) })
		wg.Go(func() { k.shareImages(ctx) })
	}
	if k.spec.DockerIdle > 0 {
		k.watchIdle(ctx)
	}
}

// wantsDocker reports whether dockerd is needed without a client: for a container that is to be started with the engine, or that
// runs without a dockerd, so that what it writes is not read.
func wantsDocker(l host.Layout) bool {
	running, _ := filepath.Glob(filepath.Join(l.ContainerdState(), bundlesDir, dockerSpace, "*")) // the pattern is fine
	return len(running) > 0 || slices.ContainsFunc(keptDockerContainers(l), dockerContainer.restarts)
}

// serve is the door's.
func (k *docker) serve(ctx context.Context) {
	listener, err := listen(ctx, k.spec.Layout.DockerSocket())
	if err == nil {
		if err := k.nameSocket(); err != nil {
			k.log.WithError(err).Warn("Docker's API is not where clients in the virtual machine look for it")
		}
		k.log.WithField("socket", k.spec.Layout.DockerSocket()).Info("serving Docker's API")
		err = k.door.Serve(ctx, listener)
	}
	if err != nil && ctx.Err() == nil {
		k.log.WithError(err).Error("serving Docker's API")
		k.daemon.set(func() { k.daemon.lastErr = err })
	}
}

// watchIdle puts dockerd to sleep when it has been idle for long enough, again and again until ctx ends.
func (k *docker) watchIdle(ctx context.Context) {
	idle, busy := k.spec.DockerIdle, time.Now()
	for k.daemon.awaited(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(idle/4, houseInterval)):
		}
		quiet, ok := k.door.Idle()
		if !ok || quiet < idle || !k.daemon.isAwake() {
			continue
		}
		if runs, err := k.runsContainers(ctx); err != nil || runs {
			busy = time.Now()
			continue
		}
		if time.Since(busy) < idle {
			continue
		}
		if err := k.suspend(ctx); err != nil && ctx.Err() == nil {
			k.log.WithError(err).Warn("stopping dockerd, which is idle")
		}
	}
}

// suspend puts dockerd to sleep unless a client has come, or a container has been started since. A swarm cannot be what it is
// needed for: live-restore excludes that.
func (k *docker) suspend(ctx context.Context) error {
	_, err := k.door.Suspend(ctx, k.spec.DockerIdle, func(ctx context.Context) error {
		if runs, err := k.runsContainers(ctx); err != nil || runs {
			return err
		}
		k.log.Info("dockerd is idle: stopping it")
		return k.daemon.sleep(2 * dockerGrace)
	})
	return err
}

// runsContainers reports whether a container of dockerd's runs, or is paused or restarting.
func (k *docker) runsContainers(ctx context.Context) (bool, error) {
	var running []struct{}
	err := k.ask(ctx, "/containers/json", &running)
	return len(running) > 0, err
}

// ask has dockerd itself answer a question, past the door: that is no client's request.
func (k *docker) ask(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, dockerGrace)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", k.daemon.socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, http.NoBody)
	if err != nil {
		return err
	}
	reply, err := client.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("asking dockerd for %s: %s", path, reply.Status)
	}
	return json.NewDecoder(reply.Body).Decode(answer)
}

//go:build linux

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	_ "github.com/containerd/containerd/api/events" // what Envelope.Field reads
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// The events that begin and end the health checks of a container.
const (
	taskStarted  = "/tasks/start"
	taskResumed  = "/tasks/resumed"
	taskExited   = "/tasks/exit"
	taskPaused   = "/tasks/paused"
	taskDeleted  = "/tasks/delete"
	healthEvents = `topic~="^/tasks/(start|resumed|exit|paused|delete)$"`
)

// Events can be lost while containerd is connected to and when it is restarted: what runs is listed
// at each connection, and after every listInterval. A container's process answers within
// taskLimit, or is left for the next time.
const (
	listInterval = time.Minute
	taskLimit    = 5 * time.Second
)

// follower tells health what happens in containerd.
type follower struct {
	client *client.Client
	socket string
	health *health
	log    logrus.FieldLogger
}

// keepHealth runs the health checks of all containers until ctx ends. nerdctl runs each: it
// knows how, and where the answers belong.
func (e *Engine) keepHealth(ctx context.Context) {
	if hasTimers("/run/systemd/system") {
		e.log.Info("health checks are nerdctl's, by systemd's timers")
		return
	}
	l := e.spec.Layout
	c, err := client.New(socketOf(l, guest.Containerd)) // it connects when it is used, and again
	if err != nil {
		e.log.WithError(err).Error("health checks do not run: connecting to containerd")
		return
	}
	defer c.Close()
	env := append(slices.Clip(e.env), "NERDCTL_TOML="+l.NerdctlTOML())
	probe := func(ctx context.Context, t target) error {
		return runNerdctl(ctx, env, l.Bin("nerdctl"), "--namespace", t.space, "container", "healthcheck", t.id)
	}
	h := newHealth(labelStore{c}, probe, e.log)
	defer h.wg.Wait()
	f := follower{client: c, socket: socketOf(l, guest.Containerd), health: h, log: e.log}
	var pause time.Duration
	for {
		begun := time.Now()
		if waitSocket(ctx, f.socket) != nil {
			return
		}
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		pause = nextPause(pause, time.Since(begun))
		e.log.WithError(err).WithField("pause", pause).Info("following containers, for their health checks, again")
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// follow follows containerd until it is gone. The checks go on then.
func (f follower) follow(ctx context.Context) error {
	connected, cancel := context.WithCancel(ctx)
	defer cancel()
	happened, failed := f.client.Subscribe(connected, healthEvents)
	tick := time.NewTicker(listInterval)
	defer tick.Stop()
	if err := f.list(ctx); err != nil {
		return err
	}
	for {
		select {
		case event := <-happened:
			f.apply(ctx, event)
		case err := <-failed:
			if err == nil {
				err = errors.New("containerd's events ended")
			}
			return err
		case <-tick.C:
			if err := f.list(ctx); err != nil {
				return err
			}
		}
	}
}

// apply does what an event asks for.
func (f follower) apply(ctx context.Context, event *events.Envelope) {
	id, ok := event.Field([]string{"event", "container_id"})
	if !ok {
		f.log.WithField("topic", event.Topic).Warn("an event of containerd's is not understood")
		return
	}
	t := target{event.Namespace, id}
	switch event.Topic {
	case taskStarted:
		f.health.started(ctx, t)
	case taskResumed:
		f.look(ctx, t)
	case taskExited:
		// Other processes of a container end too, its checks among them.
		if process, _ := event.Field([]string{"event", "id"}); process == id {
			f.health.forget(t)
		}
	case taskPaused, taskDeleted:
		f.health.forget(t)
	}
}

// list watches what runs and is not watched yet, and forgets what does not run.
func (f follower) list(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	spaces, err := f.client.NamespaceService().List(asking)
	if err != nil {
		return fmt.Errorf("listing namespaces: %w", err)
	}
	there := map[target]bool{}
	for _, space := range spaces {
		all, err := f.client.ContainerService().List(namespaces.WithNamespace(asking, space), `labels."`+healthLabel+`"`)
		if err != nil {
			return fmt.Errorf("listing containers of namespace %s: %w", space, err)
		}
		for _, c := range all {
			there[target{space, c.ID}] = true
		}
	}
	for t := range f.health.watches {
		if !there[t] {
			f.health.forget(t)
		}
	}
	for t := range there {
		f.look(ctx, t)
	}
	return nil
}

// look watches a container if it runs, and goes on watching it if it is watched.
func (f follower) look(ctx context.Context, t target) {
	pid, err := f.running(ctx, t)
	if err != nil {
		f.log.WithError(err).WithField("container", short(t.id)).Warn("looking whether its health is to be checked")
		return
	}
	if pid == 0 {
		f.health.forget(t)
		return
	}
	if f.health.watches[t] != nil {
		return
	}
	labels, err := f.health.records.labels(ctx, t)
	if err != nil {
		f.log.WithError(err).WithField("container", short(t.id)).Debug("reading its health check")
		return // gone again, or containerd is: then it is listed again
	}
	if c, ok := checkOf(labels); ok {
		f.health.watch(ctx, t, watched{c, stateOf(labels), host.StartTime(pid)})
	}
}

// running is the process of a container that runs, or 0.
func (f follower) running(ctx context.Context, t target) (pid int, err error) {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, t.space), taskLimit)
	defer cancel()
	var status client.Status
	c, err := f.client.LoadContainer(ctx, t.id)
	var task client.Task
	if err == nil {
		task, err = c.Task(ctx, nil)
	}
	if err == nil {
		status, err = task.Status(ctx)
	}
	if errdefs.IsNotFound(err) {
		return 0, nil
	}
	if err != nil || status.Status != client.Running {
		return 0, err
	}
	return int(task.Pid()), nil
}

// labelStore is containerd's.
type labelStore struct{ client *client.Client }

func (s labelStore) labels(ctx context.Context, t target) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, t.space), taskLimit)
	defer cancel()
	c, err := s.client.ContainerService().Get(ctx, t.id)
	return c.Labels, err
}

// setLabel leaves the other labels to those who write them at the same time.
func (s labelStore) setLabel(ctx context.Context, t target, name, value string) error {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, t.space), taskLimit)
	defer cancel()
	c := containers.Container{ID: t.id, Labels: map[string]string{name: value}}
	_, err := s.client.ContainerService().Update(ctx, c, "labels."+name)
	return err
}

// runNerdctl runs nerdctl; the error is what it says last.
func runNerdctl(ctx context.Context, env []string, argv ...string) error {
	var said bytes.Buffer
	code, err := host.Run(ctx, host.Command{Argv: argv, Env: env, Dir: "/", Stderr: &said, Grace: cancelGrace})
	if err != nil {
		return err
	}
	if code != 0 {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return fmt.Errorf("nerdctl: exit code %d: %s", code, lines[len(lines)-1])
	}
	return nil
}

// hasTimers reports whether nerdctl runs health checks by timers of systemd, which it then always
// does, whatever its configuration says: it looks for this directory, and does not follow a link.
func hasTimers(dir string) bool {
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir()
}

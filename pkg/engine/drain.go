//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// drain stops every container of every namespace: its own stop signal, SIGKILL after
// timeout, then the deletion of its task, which runs nerdctl's hooks and so takes down its
// network and published ports. Containers themselves, volumes and images stay.
//
// A container whose shim has died meanwhile has stopped: what of it still runs is ended with
// everything else that is left over.
func drain(ctx context.Context, socket string, timeout time.Duration, shims func() map[string]bool, note func(string)) error {
	c, err := client.New(socket, client.WithTimeout(10*time.Second))
	if err != nil {
		return fmt.Errorf("connecting to containerd: %w", err)
	}
	defer c.Close()
	spaces, err := c.NamespaceService().List(ctx)
	if err != nil {
		return fmt.Errorf("listing namespaces: %w", err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, space := range spaces {
		ctx := namespaces.WithNamespace(ctx, space)
		containers, err := c.Containers(ctx)
		if err != nil {
			return fmt.Errorf("listing containers of namespace %s: %w", space, err)
		}
		for _, container := range containers {
			wg.Go(func() {
				running, err := stopTask(ctx, container, timeout)
				if err != nil && ctx.Err() == nil && !shims()[container.ID()] {
					err = nil
				}
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, fmt.Errorf("stopping container %s: %w", container.ID(), err))
				} else if running {
					note("stopped container " + short(container.ID()))
				}
			})
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stopTask ends a container's task and deletes it; running reports whether it ran until now.
func stopTask(ctx context.Context, c client.Container, timeout time.Duration) (running bool, err error) {
	task, err := c.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	status, err := task.Status(ctx)
	if err != nil {
		return false, err
	}
	running = status.Status != client.Stopped && status.Status != client.Created
	exited, err := task.Wait(ctx)
	if err != nil {
		return running, err
	}
	if running {
		if status.Status == client.Paused {
			_ = task.Resume(ctx)
		}
		signal, err := client.GetStopSignal(ctx, c, syscall.SIGTERM)
		if err != nil {
			signal = syscall.SIGTERM
		}
		if err := task.Kill(ctx, signal); err != nil && !errdefs.IsNotFound(err) {
			return running, err
		}
		select {
		case <-exited:
		case <-ctx.Done():
			return running, ctx.Err()
		case <-time.After(timeout):
			if err := task.Kill(ctx, syscall.SIGKILL, client.WithKillAll); err != nil && !errdefs.IsNotFound(err) {
				return running, err
			}
			select {
			case <-exited:
			case <-ctx.Done():
				return running, ctx.Err()
			}
		}
	}
	if _, err := task.Delete(ctx, client.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
		return running, err
	}
	return running, nil
}

// short is how container IDs are shown everywhere: twelve digits.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// stepSpace is the namespace in which BuildKit runs the steps of builds; config/buildkitd.toml
// says so.
const stepSpace = "default"

// endSteps ends the steps of builds whose buildkitd was killed. No build waits for them any more,
// and the next buildkitd does not know them.
func endSteps(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, stepSpace), 10*time.Second)
	defer cancel()
	c, err := client.New(socket)
	if err != nil {
		return fmt.Errorf("connecting to containerd: %w", err)
	}
	defer c.Close()
	all, err := c.Containers(ctx)
	if err != nil {
		return fmt.Errorf("listing the steps of builds: %w", err)
	}
	var errs []error
	for _, step := range all {
		info, err := step.Info(ctx, client.WithoutRefreshedMetadata)
		if err != nil || !isStep(info) {
			continue
		}
		if err := endStep(ctx, step); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("ending a build's step %s: %w", short(step.ID()), err))
		}
	}
	return errors.Join(errs...)
}

// isStep reports whether a container is a step of a build: BuildKit mounts its root itself and labels
// nothing, while every other client of containerd names at least a snapshot, and nerdctl
// labels what it makes.
func isStep(c containers.Container) bool {
	return c.Image == "" && c.SnapshotKey == "" && c.Labels["nerdctl/namespace"] == ""
}

func endStep(ctx context.Context, step client.Container) error {
	task, err := step.Task(ctx, nil)
	if err == nil {
		_, err = task.Delete(ctx, client.WithProcessKill)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return step.Delete(ctx)
}

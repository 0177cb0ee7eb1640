//go:build mend

package client

import (
	"context"
	"maps"
	"strings"

	"github.com/containerd/log"

	"github.com/containerd/containerd/v2/core/containers"
)

// WithImageConfigLabels gives a container the labels of its image, but for those that programs read as their own. It says so
// in debug mode only: images that compose has built have such labels, and their users meant nothing by it.
func WithImageConfigLabels(image Image) NewContainerOpts {
	take := unmendedWithImageConfigLabels(image)
	return func(ctx context.Context, c *Client, to *containers.Container) error {
		if err := take(ctx, c, to); err != nil {
			return err
		}
		maps.DeleteFunc(to.Labels, func(name, _ string) bool {
			if !isControlLabel(name) {
				return false
			}
			log.G(ctx).Debugf("the image's label %q is not taken over: labels of that name are the engine's own", name)
			return true
		})
		return nil
	}
}

// isControlLabel reports whether a program that makes or manages containers reads a label of that name: nerdctl, compose,
// containerd and what comes with it, Kubernetes, Docker's engine, BuildKit, linnet.
func isControlLabel(name string) bool {
	for _, prefix := range []string{
		"nerdctl/", "com.docker.compose.", "com.docker/", "containerd.io/", "io.containerd.", "io.cri-containerd",
		"io.kubernetes.", "buildkit/", "moby.", "org.mobyproject.", "dev.linnet.",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

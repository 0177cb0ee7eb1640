//go:build linux

package engine

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/sharedimages"
)

// userSpace is the namespace in which linnet's own commands have their images and containers; config/nerdctl.toml says so.
const userSpace = "default"

// shareImages keeps the images of linnet's own commands and of Docker's API the same until ctx ends.
func (k *docker) shareImages(ctx context.Context) {
	l := k.spec.Layout
	c, err := client.New(socketOf(l, guest.Containerd)) // it connects when it is used, and again
	if err != nil {
		k.log.WithError(err).Error("images are not shared with Docker's API: connecting to containerd")
		return
	}
	defer c.Close()
	keeper := sharedimages.Keeper{
		Client: c, Sides: [2]string{userSpace, dockerSpace}, Memory: l.SharedImages(), Log: k.log.WithField("part", "images"),
		InUse: func(ctx context.Context, side string) (map[string]bool, error) {
			if side == dockerSpace {
				return usedByDocker(l), nil
			}
			return usedByContainers(ctx, c, side)
		},
		Aside: func(side string, target digest.Digest) string {
			if side == dockerSpace {
				return "moby-dangling@" + target.String() // daemon/containerd/soft_delete.go of moby
			}
			return ""
		},
	}
	if err := keeper.Run(ctx); err != nil && ctx.Err() == nil {
		k.log.WithError(err).Error("images are no longer shared with Docker's API")
	}
}

// usedByDocker are the images of dockerd's containers, stopped ones too, whether or not it runs.
func usedByDocker(l host.Layout) map[string]bool {
	used := map[string]bool{}
	for _, c := range keptDockerContainers(l) {
		for _, name := range c.images() {
			used[recordName(name)] = true
		}
	}
	return used
}

// recordName is what containerd's record is called of what a user has called an image; a digest stays as it is.
func recordName(name string) string {
	if _, err := digest.Parse(name); err == nil {
		return name
	}
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return name
	}
	return named.String()
}

// usedByContainers are the images of a namespace's containers, as containerd has noted them.
func usedByContainers(ctx context.Context, c *client.Client, space string) (map[string]bool, error) {
	all, err := c.ContainerService().List(namespaces.WithNamespace(ctx, space))
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	used := map[string]bool{}
	for _, container := range all {
		if container.Image != "" {
			used[container.Image] = true
		}
	}
	return used, nil
}

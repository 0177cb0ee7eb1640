//go:build linux

package engine

import (
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
)

func TestIsStep(t *testing.T) {
	own := map[string]string{"nerdctl/namespace": "default"}
	for _, c := range []struct {
		what      string
		container containers.Container
		want      bool
	}{
		{"BuildKit's", containers.Container{ID: "qkoogkckj7tfd6ylciqdgxp53"}, true},
		{"one that nerdctl could not remove", containers.Container{Labels: map[string]string{"nerdctl/error": "x"}}, true},
		{"a user's", containers.Container{Image: "app", SnapshotKey: "x", Labels: own}, false},
		{"a user's with a root of its own", containers.Container{Labels: own}, false},
		{"another client's", containers.Container{Image: "app", SnapshotKey: "x"}, false},
	} {
		if got := isStep(c.container); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

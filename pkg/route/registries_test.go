package route

import (
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

func TestALineNeedsTheRegistriesThatItNames(t *testing.T) {
	for _, c := range []struct {
		line, want string
		more       bool
	}{
		{"ps -a", "", false},
		{"images", "", false},
		{"exec app docker.io/x", "", false},
		{"start app", "", false},
		{"tag a registry.example.com/a", "docker.io", false},
		{"save registry.example.com/a", "registry.example.com", false},
		{"rmi registry.example.com/a", "", false},
		{"compose ps", "", false},
		{"compose logs", "", false},
		{"pull alpine", "docker.io", false},
		{"image pull -q me/app:1", "docker.io", false},
		{"pull registry.example.com/a/b@sha256:0123", "registry.example.com", false},
		{"push localhost/a", "localhost", false},
		{"push host:5000/a", "host:5000", false},
		{"push Host/a", "Host", false},
		{"pull [::1]:5000/a", "[::1]:5000", false},
		{"run --rm -e A=b.c/d registry.example.com/a echo other.example.com/b", "registry.example.com", false},
		{"container create --name x -- a sh", "docker.io", false},
		{"run --rootfs ./root sh", "", false},
		{"run ipfs://bafkrei sh", "", false},
		{"manifest create a.example.com/x b.example.com/y z", "a.example.com b.example.com docker.io", false},
		{"search registry.example.com/a", "registry.example.com", false},
		{"build -t registry.example.com/a .", "", true},
		{"image build .", "", true},
		{"compose up -d", "", true},
		{"compose -f x.yaml pull", "", true},
	} {
		inv, err := nerdctl.Parse(strings.Fields(c.line))
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		names, more := Registries(inv)
		if got := strings.Join(names, " "); got != c.want || more != c.more {
			t.Errorf("%s: got %q, %v", c.line, got, more)
		}
	}
}

// A command of a new nerdctl that names images, or sounds as if it went to a registry, has to be
// looked at.
func TestEveryCommandThatNamesImagesIsClassified(t *testing.T) {
	local := []string{
		"history", "inspect", "image inspect", "load", "import", "rm", "image rm", "rmi",
		"images", "ls", "prune", "manifest annotate", "manifest rm", "compose images", "checkpoint create",
	}
	var walk func(path []string, c *nerdctl.Command)
	walk = func(path []string, c *nerdctl.Command) {
		for _, sub := range c.Commands {
			walk(append(slices.Clone(path), sub.Name), sub)
		}
		key := nerdctl.Key(path)
		names := strings.Contains(c.Use, "IMAGE") || strings.Contains(c.Use, "NAME[:TAG]") || strings.Contains(c.Use, "_ref") || strings.Contains(c.Use, "MANIFEST")
		says := strings.Contains(c.Short, "registry") || strings.Contains(c.Short, "Pull") || strings.Contains(c.Short, "Push")
		if (names || says) && Of(path).Images == NoImages && !slices.Contains(local, key) && key != "login" && key != "logout" && !strings.HasPrefix(key, "ipfs") {
			t.Errorf("%s (%s): does it need credentials of a registry?", key, c.Use)
		}
	}
	walk(nil, nerdctl.Root())
	for key, r := range table {
		path := strings.Fields(key)
		if r.Command == "cache" || r.Program == Lint || path[0] == "buildx" || key == "system df" {
			continue // docker's, and linnet's own
		}
		switch key {
		case "debug":
			path = []string{"builder", key}
		case "convert", "encrypt", "decrypt":
			path = []string{"image", key}
		}
		c := nerdctl.Root()
		for _, name := range path {
			if c = c.Find(name); c == nil {
				t.Errorf("there is no command %s", key)
				break
			}
		}
	}
}

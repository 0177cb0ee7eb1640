//go:build linux

package engine

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

func TestDockersNetworksHaveRoomBesideTheEnginesOwn(t *testing.T) {
	for _, c := range []struct {
		pool, subnet, block string
		used                []string
	}{
		{"10.231.0.0/16", "10.231.8.0/24", "10.231.224.0/19", []string{"10.231.7.0/24"}},
		{"10.231.0.0/16", "10.231.9.0/24", "10.231.32.0/19", []string{"10.231.8.0/24", "10.231.240.0/24"}},
		{"10.0.0.0/8", "10.0.8.0/24", "10.0.224.0/19", nil},
		{"10.231.0.0/22", "10.231.0.0/24", "10.231.2.0/24", []string{"10.231.3.0/30", "10.231.1.0/24"}},
		{"10.231.0.0/22", "10.231.0.0/24", "10.231.2.0/23", []string{"10.231.1.0/24"}},
		{"10.231.0.0/22", "", "", []string{"10.231.0.0/23", "10.231.2.0/24"}},
	} {
		var used []netip.Prefix
		for _, u := range c.used {
			used = append(used, netip.MustParsePrefix(u))
		}
		n, ok := chooseDockerNetwork(netip.MustParsePrefix(c.pool), 7, used)
		if !ok {
			if c.subnet != "" {
				t.Errorf("%s without %v: nothing", c.pool, c.used)
			}
			continue
		}
		if n.Subnet.String() != c.subnet || n.Pool.String() != c.block {
			t.Errorf("%s without %v: %v and %v, want %s and %s", c.pool, c.used, n.Subnet, n.Pool, c.subnet, c.block)
		}
		if n.Subnet.Overlaps(n.Pool) {
			t.Errorf("%v and %v overlap", n.Subnet, n.Pool)
		}
	}
}

func TestDockersAddressesStayTheSame(t *testing.T) {
	n := networks{layout: host.Layout{Home: t.TempDir()}, log: quiet(t)}
	if err := os.MkdirAll(filepath.Dir(n.layout.DockerNetwork()), 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := n.ensureDocker("10.231.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	again, err := n.ensureDocker("10.99.0.0/16")
	if err != nil || again != first {
		t.Errorf("%v, then %v (%v)", first, again, err)
	}
	if err := os.WriteFile(n.layout.DockerNetwork(), []byte(`{"subnet": "10.`), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err = n.ensureDocker("10.231.0.0/16"); err != nil || again != first {
		t.Errorf("after a torn file: %v (%v)", again, err)
	}
	if b := first.bridge(n.layout); b.Bridge != dockerBridge(n.layout) || len(b.Bridge) > 15 || !ownInterface(n.layout, b.Bridge) {
		t.Errorf("the bridge is %+v", b)
	}
}

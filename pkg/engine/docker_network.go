//go:build linux

package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// dockerNetwork says which addresses dockerd's networks have.
type dockerNetwork struct {
	// Subnet is its default network's, Pool what its clients' networks take a /24 from.
	Subnet netip.Prefix `json:"subnet"`
	Pool   netip.Prefix `json:"pool"`
}

// bridge is the interface of dockerd's default network.
func (n dockerNetwork) bridge(l host.Layout) bridge {
	return bridge{Bridge: dockerBridge(l), Subnet: n.Subnet.String(), Gateway: n.Subnet.Addr().Next().String()}
}

// mostDockerPool is the widest pool: 32 networks, about as many as a dockerd of its own has.
const mostDockerPool = 19

// chooseDockerNetwork takes a /24 of the engine's pool and the widest free block beside it, half of the pool at most.
func chooseDockerNetwork(pool netip.Prefix, start int, used []netip.Prefix) (n dockerNetwork, ok bool) {
	if n.Subnet, ok = freeSubnet(pool, start+1, used); !ok {
		return n, false
	}
	used = append([]netip.Prefix{n.Subnet}, used...)
	for bits := max(mostDockerPool, pool.Bits()+1); bits <= 24; bits++ {
		if n.Pool, ok = freeBlock(pool, bits, start, used); ok {
			return n, true
		}
	}
	return n, false
}

// ensureDocker chooses once, and keeps it: addresses stay the same from start to start. A torn file is made anew.
func (n networks) ensureDocker(pool string) (dockerNetwork, error) {
	if kept, ok := readDockerNetwork(n.layout); ok {
		return kept, nil
	}
	prefix, err := netip.ParsePrefix(pool)
	if err != nil {
		return dockerNetwork{}, fmt.Errorf("engine.subnet: %w", err)
	}
	used, err := usedSubnets()
	if err != nil {
		return dockerNetwork{}, err
	}
	_, ours := n.namesAndSubnets()
	chosen, ok := chooseDockerNetwork(prefix, homeNumber(n.layout), append(used, ours...))
	if !ok {
		return chosen, hint.With(fmt.Errorf("engine.subnet: %s has no room for dockerd's networks, a /24 and another one", pool),
			"set engine.subnet in linnet.yaml to a range that is free")
	}
	text, err := json.Marshal(chosen)
	if err != nil {
		return chosen, err
	}
	return chosen, host.WriteFile(n.layout.DockerNetwork(), text, 0o600)
}

// readDockerNetwork reads what ensureDocker has kept.
func readDockerNetwork(l host.Layout) (n dockerNetwork, ok bool) {
	text, err := os.ReadFile(l.DockerNetwork())
	if err != nil || json.Unmarshal(text, &n) != nil {
		return dockerNetwork{}, false
	}
	return n, n.Subnet.IsValid() && n.Pool.IsValid()
}

// dropDockerBridges removes the bridges of dockerd's networks, with what hangs on them. No container of its may run.
func dropDockerBridges(names []string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, removeInterface(name))
	}
	return errors.Join(errs...)
}

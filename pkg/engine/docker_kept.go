//go:build linux

package engine

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/linnet-dev/linnet/pkg/host"
)

// This file reads what dockerd keeps in its data root, so that it need not run to be asked.

// dockerSpace is the namespace of containerd in which dockerd has its containers; config/dockerd.json says so.
const dockerSpace = "moby"

// dockerContainer is what we read of a container (config.v2.json and hostconfig.json of moby's daemon/container).
type dockerContainer struct {
	ID string
	// Image is the identifier of the image, ImageManifest what of it was unpacked.
	Image         string
	ImageManifest struct {
		Digest string `json:"digest"`
	}
	Config struct {
		// Image is the name that it was made by.
		Image string
	}
	State struct {
		ExitCode int
	}
	NetworkSettings struct {
		// Ports are by port and protocol: 80/tcp.
		Ports map[string][]struct{ HostIP, HostPort string }
	}
	HasBeenStartedBefore   bool
	HasBeenManuallyStopped bool

	host struct {
		RestartPolicy struct{ Name string }
	}
}

// keptDockerContainers lists dockerd's containers, running or not. What is being made or removed just now may be missing.
func keptDockerContainers(l host.Layout) (all []dockerContainer) {
	dirs, _ := filepath.Glob(filepath.Join(l.DockerRoot(), "containers", "*")) // the pattern is fine
	for _, dir := range dirs {
		var c dockerContainer
		if readJSON(filepath.Join(dir, "config.v2.json"), &c) && readJSON(filepath.Join(dir, "hostconfig.json"), &c.host) {
			all = append(all, c)
		}
	}
	return all
}

func readJSON(path string, into any) bool {
	text, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(text, into) == nil
}

// restarts reports whether dockerd starts the container when it starts itself (daemon/internal/restartmanager of moby).
func (c dockerContainer) restarts() bool {
	switch c.host.RestartPolicy.Name {
	case "always":
		return c.HasBeenStartedBefore
	case "unless-stopped":
		return c.HasBeenStartedBefore && !c.HasBeenManuallyStopped
	case "on-failure":
		return c.HasBeenStartedBefore && !c.HasBeenManuallyStopped && c.State.ExitCode != 0
	}
	return false
}

// ports are the ports of this host that the container had when it last ran, by address and protocol.
func (c dockerContainer) ports() (all []dockerPort) {
	for inside, bindings := range c.NetworkSettings.Ports {
		_, protocol, _ := strings.Cut(inside, "/")
		for _, b := range bindings {
			if address, err := netip.ParseAddr(b.HostIP); err == nil {
				all = append(all, dockerPort{address, protocol, b.HostPort})
			}
		}
	}
	return all
}

// dockerPort is a published port.
type dockerPort struct {
	address        netip.Addr
	protocol, port string
}

// images are names and digests by which the container's image can be known.
func (c dockerContainer) images() (names []string) {
	for _, name := range []string{c.Config.Image, c.Image, c.ImageManifest.Digest} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// dockerKeptNetwork is what we read of a bridge network (drivers/bridge/bridge_store.go of moby's libnetwork).
type dockerKeptNetwork struct {
	BridgeName               string
	BridgeIfaceCreator       int
	AddressIPv4, AddressIPv6 string
}

// made reports whether dockerd has made the bridge: it also takes one that a user has made.
func (n dockerKeptNetwork) made() bool {
	const byDockerd = 1
	return n.BridgeName != "" && n.BridgeIfaceCreator == byDockerd
}

func (n dockerKeptNetwork) subnets() (all []netip.Prefix) {
	for _, text := range []string{n.AddressIPv4, n.AddressIPv6} {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			all = append(all, prefix.Masked())
		}
	}
	return all
}

// keptDockerNetworks lists dockerd's bridge networks, once it has ended; none where its database cannot be read.
func keptDockerNetworks(l host.Layout) (all []dockerKeptNetwork) {
	path := filepath.Join(l.DockerRoot(), "network", "files", "local-kv.db")
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return nil
	}
	defer func() { _ = db.Close() }()      // it is only read
	_ = db.View(func(tx *bbolt.Tx) error { // what was read counts
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				var n dockerKeptNetwork
				// An index goes before the value.
				if at := bytes.IndexByte(value, '{'); strings.Contains(string(key), "/bridge/") && at >= 0 && json.Unmarshal(value[at:], &n) == nil {
					all = append(all, n)
				}
				return nil
			})
		})
	})
	return all
}

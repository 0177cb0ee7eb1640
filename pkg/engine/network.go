//go:build linux

package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/config"
	"github.com/linnet-dev/linnet/pkg/agentserver/portplugin"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// networks keeps the engine's CNI networks apart from those of a nerdctl beside us, which
// would give a network of the same name the same interface and the same leases.
type networks struct {
	layout host.Layout
	// guestSocket is where the agent listens when this is a guest: each network then has its
	// ports published on the host.
	guestSocket string
	log         logrus.FieldLogger
}

// ensureDefault makes the default network once and keeps it: its addresses stay the same
// from start to start. A torn file is made anew.
func (n networks) ensureDefault(pool string) (bridge, error) {
	path := filepath.Join(n.layout.NetConf(), "nerdctl-bridge.conflist")
	if b, ok := n.readDefault(path); ok {
		return b, nil
	}
	prefix, err := netip.ParsePrefix(pool)
	if err != nil {
		return bridge{}, fmt.Errorf("engine.subnet: %w", err)
	}
	used, err := usedSubnets()
	if err != nil {
		return bridge{}, err
	}
	// A bridge that is still there has containers, or an address that a new one would
	// contradict.
	subnet, ok := bridgeSubnet(bridgeName(n.layout))
	if !ok {
		subnet, ok = freeSubnet(prefix, homeNumber(n.layout), used)
	}
	if !ok {
		return bridge{}, hint.With(fmt.Errorf("engine.subnet: every /24 of %s is in use on this host", pool),
			"set engine.subnet in linnet.yaml to a range that is free")
	}
	b := newBridge(n.layout, subnet)
	text, err := render("bridge.conflist", config.BridgeConflist, b)
	if err != nil {
		return bridge{}, err
	}
	return b, host.WriteFile(path, text, 0o644)
}

func (n networks) readDefault(path string) (bridge, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return bridge{}, false
	}
	var conf conflist
	if err := json.Unmarshal(text, &conf); err != nil || conf.bridge() == "" {
		n.log.WithField("file", path).Warn("the default network's file is torn: making it anew")
		return bridge{}, false
	}
	subnets := conf.subnets()
	if len(subnets) == 0 {
		return bridge{}, false
	}
	b := newBridge(n.layout, subnets[0])
	b.Bridge = conf.bridge()
	return b, true
}

// setAsideTorn renames the files of networks that cannot be read: nerdctl would refuse every
// command about networks because of one. Only at the start: later, another process may just be
// writing one.
func (n networks) setAsideTorn() error {
	for _, file := range n.files() {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // removed meanwhile
		}
		var conf conflist
		if json.Unmarshal(text, &conf) == nil && len(conf.Plugins) > 0 {
			continue
		}
		n.log.WithField("file", file).Warn("a network's file is torn: it is set aside as .torn; make the network anew")
		if err := os.Rename(file, file+".torn"); err != nil {
			return fmt.Errorf("setting a torn network aside: %w", err)
		}
	}
	return nil
}

// files lists the configurations of all networks, those of a namespace included.
func (n networks) files() []string {
	var files []string
	for _, pattern := range []string{"*.conflist", "*/*.conflist"} {
		found, _ := filepath.Glob(filepath.Join(n.layout.NetConf(), pattern)) // the patterns are fine
		files = append(files, found...)
	}
	return files
}

// adopt gives every network that nerdctl made an interface and leases of our own. It must
// come before the network's first container, which the conflist's lock and the order of
// nerdctl's own steps (network first, container hooks later) allow for.
func (n networks) adopt(ctx context.Context) error {
	lock, err := host.Lock(ctx, filepath.Join(n.layout.NetConf(), ".nerdctl.lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	for _, file := range n.files() {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // removed meanwhile
		}
		ours, changed, err := ownNetwork(text, n.layout, n.guestSocket)
		if err != nil {
			n.log.WithError(err).WithField("file", file).Warn("leaving a network as it is")
			continue
		}
		if !changed {
			continue
		}
		if err := host.WriteFile(file, ours, 0o644); err != nil {
			return err
		}
		n.log.WithField("file", file).Info("made a network our own")
	}
	return nil
}

// watch begins to watch for networks that are made; follow adopts them until ctx ends.
func (n networks) watch(ctx context.Context) (follow func(), err error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching networks: %w", err)
	}
	if err := w.Add(n.layout.NetConf()); err != nil {
		w.Close()
		return nil, fmt.Errorf("watching networks: %w", err)
	}
	nested, _ := filepath.Glob(filepath.Join(n.layout.NetConf(), "*/")) // the pattern is fine
	for _, dir := range nested {
		n.watchDir(w, dir)
	}
	return func() {
		defer w.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case event := <-w.Events:
				if event.Has(fsnotify.Create) {
					n.watchDir(w, event.Name)
				}
				if strings.HasSuffix(event.Name, ".conflist") || event.Has(fsnotify.Create) {
					if err := n.adopt(ctx); err != nil {
						n.log.WithError(err).Warn("adopting networks")
					}
				}
			case err := <-w.Errors:
				n.log.WithError(err).Warn("watching networks")
			}
		}
	}, nil
}

// watchDir watches a namespace's directory too, and nothing else: of a file that is watched by
// itself, its directory's watch does not always tell that it was renamed.
func (n networks) watchDir(w *fsnotify.Watcher, path string) {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		_ = w.Add(path) // gone again
	}
}

// interfaces names the bridges that are ours to remove: those that we named. A network may
// also use a bridge that another program made.
func (n networks) interfaces() []string {
	names := []string{bridgeName(n.layout)}
	for _, file := range append(n.files(), n.torn()...) {
		name := strings.TrimPrefix(filepath.Base(file), "nerdctl-")
		name, _, _ = strings.Cut(name, ".conflist")
		names = append(names, userBridge(n.layout, name))
	}
	return names
}

// namesAndSubnets lists the names and the subnets of our networks.
func (n networks) namesAndSubnets() (names []string, all []netip.Prefix) {
	for _, file := range n.files() {
		var conf conflist
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &conf) == nil {
			names, all = append(names, conf.Name), append(all, conf.subnets()...)
		}
	}
	return names, all
}

func (n networks) torn() []string {
	found, _ := filepath.Glob(filepath.Join(n.layout.NetConf(), "*", "*.conflist.torn"))
	return found
}

// bridgeName is the interface of the default network, userBridge that of another one. Both
// tell the home, so that what is left of them can be told from everybody else's.
func bridgeName(l host.Layout) string { return "linnet-" + l.ID() }

func userBridge(l host.Layout, network string) string {
	sum := sha256.Sum256([]byte(network))
	return userBridges(l) + hex.EncodeToString(sum[:3])
}

// userBridges is what the interfaces of this home begin with. The kernel takes 15 bytes.
func userBridges(l host.Layout) string { return "ln-" + l.ID()[:6] }

// dockerBridge is the interface of dockerd's default network.
func dockerBridge(l host.Layout) string { return "lnd-" + l.ID() }

// ownInterface reports whether an interface has a name that only this home gives.
func ownInterface(l host.Layout, name string) bool {
	return name == bridgeName(l) || name == dockerBridge(l) || strings.HasPrefix(name, userBridges(l)) && len(name) == len(userBridges(l))+6
}

// ownNetwork rewrites the configuration of a bridge network: interface ln-<hashes of home
// and name> instead of nerdctl's br-<hash of name>, and host-local's leases under our home;
// in a guest, ports that are published here are published on the host as well. Everything
// else stays, fields that we do not know included.
func ownNetwork(text []byte, l host.Layout, guestSocket string) (out []byte, changed bool, err error) {
	var conf map[string]any
	if err := json.Unmarshal(text, &conf); err != nil {
		return nil, false, err
	}
	name, _ := conf["name"].(string)
	plugins, _ := conf["plugins"].([]any)
	for _, p := range plugins {
		plugin, _ := p.(map[string]any)
		if plugin == nil {
			continue
		}
		if iface, _ := plugin["bridge"].(string); plugin["type"] == "bridge" && strings.HasPrefix(iface, "br-") {
			plugin["bridge"] = userBridge(l, name)
			changed = true
		}
		if ipam, _ := plugin["ipam"].(map[string]any); ipam != nil && ipam["type"] == "host-local" && ipam["dataDir"] == nil {
			ipam["dataDir"] = l.Leases()
			changed = true
		}
	}
	if guestSocket != "" && publishes(plugins) {
		conf["plugins"] = append(plugins, map[string]any{
			"type": portplugin.Name, "capabilities": map[string]any{"portMappings": true}, "socket": guestSocket,
		})
		changed = true
	}
	if !changed {
		return text, false, nil
	}
	out, err = json.MarshalIndent(conf, "", "  ")
	return out, true, err
}

// publishes reports whether a network publishes ports, and not on the host yet.
func publishes(plugins []any) (here bool) {
	for _, p := range plugins {
		plugin, _ := p.(map[string]any)
		if plugin["type"] == portplugin.Name {
			return false
		}
		if capabilities, _ := plugin["capabilities"].(map[string]any); capabilities["portMappings"] == true {
			here = true
		}
	}
	return here
}

// conflist is what we read of a CNI network configuration list.
type conflist struct {
	Name    string `json:"name"`
	Plugins []struct {
		Type   string `json:"type"`
		Bridge string `json:"bridge"`
		IPAM   struct {
			Ranges [][]struct {
				Subnet string `json:"subnet"`
			} `json:"ranges"`
		} `json:"ipam"`
	} `json:"plugins"`
}

func (c conflist) bridge() string {
	if len(c.Plugins) == 0 || c.Plugins[0].Type != "bridge" {
		return ""
	}
	return c.Plugins[0].Bridge
}

func (c conflist) subnets() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range c.Plugins {
		for _, set := range p.IPAM.Ranges {
			for _, r := range set {
				if prefix, err := netip.ParsePrefix(r.Subnet); err == nil {
					out = append(out, prefix)
				}
			}
		}
	}
	return out
}

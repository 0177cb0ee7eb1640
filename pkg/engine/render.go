//go:build linux

package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	"github.com/linnet-dev/linnet/config"
	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agentserver/portproxy"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// fields is what the templates of package config may use.
type fields struct {
	ContainerdRoot, ContainerdState, ContainerdSocket, ShimSockets string
	BuildkitRoot, BuildkitSocket, OTELSocket                       string
	NerdctlRoot, CNIBin, NetConf, Leases                           string
	Snapshotter, LogLevel                                          string
	// HostGateway is the IPv4 address at which containers reach the host, or "".
	HostGateway                          string
	CacheAge, CacheRecent, CacheMountAge string
	CacheBytes, CacheMostBytes           int64
	InsecureRegistries, HostsDirs        []string
	OwnSnapshotter, Draining             bool
	// What dockerd is told. It takes no bridge of a name of ours that is not there, and no address of one that is: that is the bridge's.
	// LiveRestore lets its containers run on when it ends.
	DockerRoot, DockerState, DockerPID, DockerSocket string
	DockerBridge, DockerPool, DockerProxy            string
	LiveRestore                                      bool
}

// recent is how long ago a part of the build cache may have been used to be kept beyond the cache's
// size, up to twice that.
const recent = 48 * time.Hour

func newFields(s agent.Spec, hostGateway string) fields {
	l := s.Layout
	mountAge := ""
	if s.CacheMountAge > 0 {
		mountAge = s.CacheMountAge.String()
	}
	proxy := "docker-proxy"
	if s.GuestSocket != "" {
		proxy = portproxy.Name
	}
	return fields{
		ContainerdRoot: l.ContainerdRoot(), ContainerdState: l.ContainerdState(),
		ContainerdSocket: socketOf(l, guest.Containerd), ShimSockets: l.ShimSockets(),
		BuildkitRoot: l.BuildkitRoot(), BuildkitSocket: socketOf(l, guest.BuildKit), OTELSocket: l.Socket("buildkitd-otel"),
		NerdctlRoot: l.NerdctlRoot(), CNIBin: l.CNI(), NetConf: l.NetConf(), Leases: l.Leases(),
		Snapshotter: s.Snapshotter, OwnSnapshotter: s.Snapshotter == "overlayfs" || s.Snapshotter == "native", LogLevel: s.LogLevel,
		CacheAge: s.CacheAge.String(), CacheRecent: min(recent, s.CacheAge).String(), CacheMountAge: mountAge,
		CacheBytes: s.CacheBytes, CacheMostBytes: 2 * s.CacheBytes,
		InsecureRegistries: s.InsecureRegistries, HostGateway: hostGateway,
		HostsDirs:  append([]string{l.RegistryHosts()}, s.HostsDirs...),
		DockerRoot: l.DockerRoot(), DockerState: l.DockerState(), DockerPID: dockerPID(l), DockerSocket: socketOf(l, guest.Docker),
		DockerBridge: dockerBridge(l), DockerProxy: l.Bin(proxy), LiveRestore: true,
	}
}

// bridge is what the template of the default network may use.
type bridge struct {
	NetworkID, Bridge, Leases, Subnet, Gateway string
}

// newBridge describes the default network: nerdctl's name for it, our interface.
func newBridge(l host.Layout, subnet netip.Prefix) bridge {
	id := sha256.Sum256([]byte("bridge"))
	return bridge{
		NetworkID: hex.EncodeToString(id[:]),
		Bridge:    bridgeName(l),
		Leases:    l.Leases(),
		Subnet:    subnet.String(),
		Gateway:   subnet.Addr().Next().String(),
	}
}

func render(name, text string, data any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		// A TOML basic string and a Go string literal agree on everything that a path or
		// a name can hold but for \x and \a, which JSON does not have either.
		"toml": jsonText,
		"json": jsonText,
	}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", name, err)
	}
	return out.Bytes(), nil
}

func jsonText(s string) (string, error) {
	text, err := json.Marshal(s)
	return string(text), err
}

// writeConfig writes every file that the daemons and nerdctl read, but for the default
// network's, which is made once and kept. hostGateway is the address at which containers reach the host, or "".
func writeConfig(s agent.Spec, hostGateway string) error {
	f := newFields(s, hostGateway)
	drain := f
	drain.Draining = true
	for _, file := range []struct {
		name, text string
		data       fields
	}{
		{"containerd.toml", config.ContainerdTOML, f},
		{"containerd-drain.toml", config.ContainerdTOML, drain},
		{"buildkitd.toml", config.BuildkitdTOML, f},
		{"nerdctl.toml", config.NerdctlTOML, f},
	} {
		text, err := render(file.name, file.text, file.data)
		if err != nil {
			return err
		}
		if err := host.WriteFile(s.Layout.Config(file.name), text, 0o600); err != nil {
			return err
		}
	}
	return writeRegistryHosts(s)
}

// writeRegistryHosts tells containerd's resolver which registries to reach without TLS, or
// without checking it.
func writeRegistryHosts(s agent.Spec) error {
	dir := s.Layout.RegistryHosts()
	if err := host.RemoveTree(dir); err != nil {
		return fmt.Errorf("clearing the registry hosts: %w", err)
	}
	for _, registry := range s.InsecureRegistries {
		sub := filepath.Join(dir, registry)
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return fmt.Errorf("writing the registry hosts: %w", err)
		}
		text := "[host." + strconv.Quote("http://"+registry) + "]\n  skip_verify = true\n\n" +
			"[host." + strconv.Quote("https://"+registry) + "]\n  skip_verify = true\n"
		if err := host.WriteFile(filepath.Join(sub, "hosts.toml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

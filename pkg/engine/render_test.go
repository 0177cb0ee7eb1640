//go:build linux

package engine

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/config"
	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/host"
)

func specs() map[string]agent.Spec {
	plain := agent.Spec{
		Layout: fixed, Snapshotter: "overlayfs", Subnet: "10.231.0.0/16", LogLevel: "info",
		CacheBytes: 20 << 30, CacheAge: 720 * time.Hour, HostsDirs: []string{"/etc/containerd/certs.d"},
	}
	rich := plain
	rich.Layout.Home = `/home/a "b"\c` // what has to be quoted
	rich.Snapshotter, rich.LogLevel = "stargz", "debug"
	rich.InsecureRegistries = []string{"registry.local:5000", "10.0.0.1"}
	rich.HostsDirs = nil
	rich.CacheAge, rich.CacheMountAge = time.Hour, 90*24*time.Hour
	return map[string]agent.Spec{"plain": plain, "rich": rich}
}

func TestRenderedFiles(t *testing.T) {
	for name, spec := range specs() {
		drain := newFields(spec, "10.231.7.1")
		drain.Draining = true
		for file, from := range map[string]struct {
			text string
			data any
		}{
			"containerd.toml":       {config.ContainerdTOML, newFields(spec, "10.231.7.1")},
			"containerd-drain.toml": {config.ContainerdTOML, drain},
			"buildkitd.toml":        {config.BuildkitdTOML, newFields(spec, "10.231.7.1")},
			"dockerd.json":          {config.DockerdJSON, dockerFields(spec)},
			"nerdctl.toml":          {config.NerdctlTOML, newFields(spec, "10.231.7.1")},
			"bridge.conflist":       {config.BridgeConflist, newBridge(spec.Layout, netip.MustParsePrefix("10.231.7.0/24"))},
		} {
			t.Run(name+" "+file, func(t *testing.T) {
				got, err := render(file, from.text, from.data)
				if err != nil {
					t.Fatal(err)
				}
				golden(t, name+"-"+file, got)
			})
		}
	}
}

func dockerFields(spec agent.Spec) fields {
	f := newFields(spec, "10.231.7.1")
	f.DockerPool = "10.231.64.0/19"
	return f
}

// In a virtual machine a published port is claimed on its host.
func TestTheProxyOfAPublishedPortIsOursInAVirtualMachine(t *testing.T) {
	spec := specs()["plain"]
	if proxy := newFields(spec, "").DockerProxy; filepath.Base(proxy) != "docker-proxy" {
		t.Errorf("natively it is %s", proxy)
	}
	spec.GuestSocket = "/run/linnet/agent.sock"
	if proxy := newFields(spec, "").DockerProxy; proxy != spec.Layout.Bin("linnet-docker-proxy") {
		t.Errorf("in a virtual machine it is %s", proxy)
	}
}

func TestDockersConfigurationIsJSON(t *testing.T) {
	for name, spec := range specs() {
		text, err := render("dockerd.json", config.DockerdJSON, dockerFields(spec))
		if err != nil {
			t.Fatal(err)
		}
		var read map[string]any
		if err := json.Unmarshal(text, &read); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if read["data-root"] != spec.Layout.DockerRoot() || read["live-restore"] != true {
			t.Errorf("%s: %v", name, read)
		}
	}
}

func TestRegistryHostsAreWrittenAnew(t *testing.T) {
	spec := agent.Spec{Layout: host.Layout{Home: t.TempDir()}, InsecureRegistries: []string{"a:5000"}}
	dir := spec.Layout.RegistryHosts()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeRegistryHosts(spec); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "a:5000", "hosts.toml"))
	want := "[host.\"http://a:5000\"]\n  skip_verify = true\n\n[host.\"https://a:5000\"]\n  skip_verify = true\n"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	spec.InsecureRegistries = nil
	if err := writeRegistryHosts(spec); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a:5000")); !os.IsNotExist(err) {
		t.Errorf("a registry that is no longer insecure: %v", err)
	}
}

// A cache of any size is not measured: BuildKit would keep builds from their cache mounts meanwhile.
func TestACacheWithoutBoundsIsNotMeasured(t *testing.T) {
	spec := specs()["plain"]
	for bytes, want := range map[int64]bool{0: false, 1 << 30: true} {
		spec.CacheBytes = bytes
		text, err := render("buildkitd.toml", config.BuildkitdTOML, newFields(spec, "10.231.7.1"))
		if err != nil || strings.Contains(string(text), "maxUsedSpace") != want {
			t.Errorf("with %d bytes: %v\n%s", bytes, err, text)
		}
	}
}

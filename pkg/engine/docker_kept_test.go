//go:build linux

package engine

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/linnet-dev/linnet/pkg/host"
)

// keepDockerContainer writes what dockerd keeps of a container.
func keepDockerContainer(t *testing.T, l host.Layout, id, config, hostConfig string) {
	t.Helper()
	dir := filepath.Join(l.DockerRoot(), "containers", id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"config.v2.json": config, "hostconfig.json": hostConfig} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContainersThatStartWithTheEngine(t *testing.T) {
	for _, c := range []struct {
		policy, config string
		want           bool
	}{
		{"always", `{"HasBeenStartedBefore": true}`, true},
		{"always", `{"HasBeenStartedBefore": true, "HasBeenManuallyStopped": true}`, true},
		{"always", `{}`, false}, // made, and never started
		{"unless-stopped", `{"HasBeenStartedBefore": true}`, true},
		{"unless-stopped", `{"HasBeenStartedBefore": true, "HasBeenManuallyStopped": true}`, false},
		{"on-failure", `{"HasBeenStartedBefore": true, "State": {"ExitCode": 0}}`, false},
		{"on-failure", `{"HasBeenStartedBefore": true, "State": {"ExitCode": 3}}`, true},
		{"no", `{"HasBeenStartedBefore": true}`, false},
		{"", `{"HasBeenStartedBefore": true}`, false},
	} {
		l := host.Layout{Home: t.TempDir(), Runtime: t.TempDir()}
		keepDockerContainer(t, l, "0123", c.config, `{"RestartPolicy": {"Name": "`+c.policy+`"}}`)
		if got := wantsDocker(l); got != c.want {
			t.Errorf("policy %q, %s: %v", c.policy, c.config, got)
		}
	}
}

func TestAContainerThatRunsWithoutDockerdWantsIt(t *testing.T) {
	l := host.Layout{Home: t.TempDir(), Runtime: t.TempDir()}
	if wantsDocker(l) {
		t.Error("nothing is there")
	}
	for _, c := range []struct {
		space string
		want  bool
	}{{"default", false}, {dockerSpace, true}} {
		if err := os.MkdirAll(filepath.Join(l.ContainerdState(), bundlesDir, c.space, "0123"), 0o700); err != nil {
			t.Fatal(err)
		}
		if got := wantsDocker(l); got != c.want {
			t.Errorf("a container in %s: %v", c.space, got)
		}
	}
}

func TestImagesOfDockersContainers(t *testing.T) {
	l := host.Layout{Home: t.TempDir()}
	sum := "sha256:" + strings.Repeat("a", 64)
	keepDockerContainer(t, l, "1", `{"Image": "`+sum+`", "Config": {"Image": "busybox"}}`, "{}")
	keepDockerContainer(t, l, "2", `{"Config": {"Image": "registry.local:5000/team/app:v1"}}`, "{}")
	keepDockerContainer(t, l, "3", `{"Config": {"Image": "`+sum+`"}}`, "{}")
	keepDockerContainer(t, l, "torn", `{"Config": {"Ima`, "{}")
	got := slices.Sorted(maps.Keys(usedByDocker(l)))
	want := []string{"docker.io/library/busybox:latest", "registry.local:5000/team/app:v1", sum}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestDockersNetworksAreReadFromItsDatabase(t *testing.T) {
	l := host.Layout{Home: t.TempDir()}
	if got := keptDockerNetworks(l); got != nil {
		t.Errorf("no database: %v", got)
	}
	dir := filepath.Join(l.DockerRoot(), "network", "files")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, "local-kv.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	index := "\x00\x00\x00\x00\x00\x00\x00\x07"
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("libnetwork"))
		if err != nil {
			return err
		}
		for key, value := range map[string]string{
			"docker/network/v1.0/bridge/01/":          index + `{"BridgeName":"br-0123456789ab","BridgeIfaceCreator":1,"AddressIPv4":"10.231.64.1/24"}`,
			"docker/network/v1.0/bridge/02/":          index + `{"BridgeName":"mine0","BridgeIfaceCreator":2,"AddressIPv4":"192.0.2.1/24"}`,
			"docker/network/v1.0/bridge-endpoint/03/": index + `{"id":"03"}`,
			"docker/network/v1.0/bridge/04/":          index + "torn",
		} {
			if err := b.Put([]byte(key), []byte(value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	traces := newDockerTraces(l)
	if want := []string{dockerBridge(l), "br-0123456789ab"}; !slices.Equal(traces.bridges, want) {
		t.Errorf("bridges %q, want %q", traces.bridges, want)
	}
	subnets := []netip.Prefix{netip.MustParsePrefix("10.231.64.0/24"), netip.MustParsePrefix("192.0.2.0/24")}
	if !slices.Equal(traces.subnets, subnets) {
		t.Errorf("subnets %v, want %v", traces.subnets, subnets)
	}
}

func TestPortsOfDockersContainers(t *testing.T) {
	l := host.Layout{Home: t.TempDir()}
	keepDockerContainer(t, l, "1", `{"NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9090"}], "81/udp": null}}}`, "{}")
	if got, want := newDockerTraces(l).ports, []dockerPort{{netip.MustParseAddr("127.0.0.1"), "tcp", "9090"}}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestIsDocker(t *testing.T) {
	for program, want := range map[string]bool{
		"/usr/bin/dockerd": true, "/opt/dockerd (deleted)": true, "/usr/bin/docker": false, "/usr/bin/dockerd-rootless.sh": false, "": false,
	} {
		if got := isDocker(program); got != want {
			t.Errorf("%q: %v", program, got)
		}
	}
}

//go:build linux

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// fixed is a layout whose paths do not depend on the machine.
var fixed = host.Layout{Home: "/home/a/.linnet", Libexec: "/usr/libexec/linnet"}

func quiet(t testing.TB) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(t.Output())
	return log
}

// golden compares with a file of testdata; UPDATE=1 writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; got\n%s", path, got)
	}
}

func TestFreeSubnet(t *testing.T) {
	prefixes := func(list ...string) []netip.Prefix {
		var out []netip.Prefix
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	for _, c := range []struct {
		name, pool string
		start      int
		used       []netip.Prefix
		want       string // "" for none
	}{
		{"the first", "10.231.0.0/16", 0, nil, "10.231.0.0/24"},
		{"from the start on", "10.231.0.0/16", 5, nil, "10.231.5.0/24"},
		{"the next free one", "10.231.0.0/16", 5, prefixes("10.231.5.0/24", "10.231.6.128/25"), "10.231.7.0/24"},
		{"around the end", "10.231.0.0/16", 255, prefixes("10.231.255.0/24"), "10.231.0.0/24"},
		{"past a larger one", "10.231.0.0/16", 3, prefixes("10.231.0.0/20"), "10.231.16.0/24"},
		{"over the octet", "10.0.0.0/8", 300, nil, "10.1.44.0/24"},
		{"a pool that is not at its own beginning", "10.231.7.9/16", 1, nil, "10.231.1.0/24"},
		{"a pool of one", "10.231.7.0/24", 200, nil, "10.231.7.0/24"},
		{"a pool of one that is used", "10.231.7.0/24", 0, prefixes("10.0.0.0/8"), ""},
		{"a pool that is too small", "10.231.7.0/25", 0, nil, ""},
		{"IPv6 beside it", "10.231.0.0/16", 0, prefixes("fd00::/8"), "10.231.0.0/24"},
		{"a pool of IPv6", "fd00::/8", 0, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := freeSubnet(netip.MustParsePrefix(c.pool), c.start, c.used)
			if ok != (c.want != "") || ok && got.String() != c.want {
				t.Errorf("got %v %v, want %q", got, ok, c.want)
			}
		})
	}
}

func TestOwnNetworkChangesInterfaceAndLeasesAndNothingElse(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "nerdctl-network.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	got, changed, err := ownNetwork(text, fixed, "")
	if err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	golden(t, "own-network.conflist", append(got, '\n'))

	// With our two values put back, it is what it was.
	var before, after map[string]any
	if err := errors.Join(json.Unmarshal(text, &before), json.Unmarshal(got, &after)); err != nil {
		t.Fatal(err)
	}
	plugin := after["plugins"].([]any)[0].(map[string]any)
	plugin["bridge"] = "br-0123456789ab"
	delete(plugin["ipam"].(map[string]any), "dataDir")
	if !reflect.DeepEqual(before, after) {
		t.Errorf("before %v\nafter %v", before, after)
	}

	again, changed, err := ownNetwork(got, fixed, "")
	if err != nil || changed || string(again) != string(got) {
		t.Errorf("a second time: changed %v, %v\n%s", changed, err, again)
	}
	other, _, err := ownNetwork(text, host.Layout{Home: "/home/b/.linnet"}, "")
	if err != nil || string(other) == string(got) {
		t.Errorf("another home gets the same: %v", err)
	}
}

func TestOwnNetworkLeavesWhatIsNotNerdctls(t *testing.T) {
	for _, text := range []string{
		`{"name": "a", "plugins": [{"type": "bridge", "bridge": "virbr0"}]}`,
		`{"name": "a", "plugins": [{"type": "macvlan", "master": "eth0", "ipam": {"type": "dhcp"}}]}`,
		`{"name": "a", "plugins": [{"type": "bridge", "bridge": "linnet-0", "ipam": {"type": "host-local", "dataDir": "/x"}}]}`,
		`{"name": "a", "plugins": []}`, `{"name": "a"}`, `{"plugins": [1, null, "x"]}`,
	} {
		if got, changed, err := ownNetwork([]byte(text), fixed, ""); err != nil || changed || string(got) != text {
			t.Errorf("%s became %s (%v, %v)", text, got, changed, err)
		}
	}
	for _, text := range []string{"", "{", "[]", "7"} {
		if _, changed, err := ownNetwork([]byte(text), fixed, ""); err == nil || changed {
			t.Errorf("%q: %v, %v", text, changed, err)
		}
	}
}

func TestInAGuestANetworkThatPublishesDoesSoOnTheHostToo(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "nerdctl-network.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	native, _, err := ownNetwork(text, fixed, "")
	if err != nil {
		t.Fatal(err)
	}
	got, changed, err := ownNetwork(native, fixed, "/run/linnet/agent.sock")
	if err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	golden(t, "guest-network.conflist", append(got, '\n'))
	if again, changed, err := ownNetwork(got, fixed, "/run/linnet/agent.sock"); err != nil || changed {
		t.Errorf("a second time: changed %v, %v\n%s", changed, err, again)
	}
	for _, text := range []string{
		`{"name": "a", "plugins": [{"type": "macvlan", "master": "eth0"}]}`,
		`{"name": "a", "plugins": [{"type": "portmap", "capabilities": {"portMappings": false}}, {"type": "x", "capabilities": 1}, null]}`,
	} {
		if got, changed, err := ownNetwork([]byte(text), fixed, "/s"); err != nil || changed {
			t.Errorf("%s publishes nothing and became %s (%v, %v)", text, got, changed, err)
		}
	}
}

func TestTheDefaultNetworkOfAGuestPublishesOnTheHost(t *testing.T) {
	n := newNetworks(t)
	n.guestSocket = "/run/linnet/agent.sock"
	if _, err := n.ensureDefault("10.231.0.0/16"); err != nil {
		t.Fatal(err)
	}
	if err := n.adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(n.layout.NetConf(), "nerdctl-bridge.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	var conf conflist
	if err := json.Unmarshal(text, &conf); err != nil {
		t.Fatal(err)
	}
	if last := conf.Plugins[len(conf.Plugins)-1].Type; last != "linnet-ports" {
		t.Errorf("its last plugin is %s", last)
	}
	if _, ok := n.readDefault(filepath.Join(n.layout.NetConf(), "nerdctl-bridge.conflist")); !ok {
		t.Error("it is not read back")
	}
}

func newNetworks(t *testing.T) networks {
	l := host.Layout{Home: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(l.NetConf(), "default"), 0o700); err != nil {
		t.Fatal(err)
	}
	return networks{layout: l, log: quiet(t)}
}

func TestTheDefaultNetworkIsMadeOnceAndKept(t *testing.T) {
	n := newNetworks(t)
	first, err := n.ensureDefault("10.231.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	again, err := n.ensureDefault("192.168.0.0/16")
	if err != nil || again != first {
		t.Errorf("first %+v, then %+v (%v)", first, again, err)
	}
	for _, torn := range []string{"", "{", `{"plugins": []}`, `{"plugins": [{"type": "bridge", "bridge": "x"}]}`} {
		if err := os.WriteFile(filepath.Join(n.layout.NetConf(), "nerdctl-bridge.conflist"), []byte(torn), 0o644); err != nil {
			t.Fatal(err)
		}
		if again, err := n.ensureDefault("10.231.0.0/16"); err != nil || again != first {
			t.Errorf("after %q: first %+v, then %+v (%v)", torn, first, again, err)
		}
	}
}

func TestAPoolWithoutRoomIsTold(t *testing.T) {
	n := newNetworks(t)
	_, err := n.ensureDefault("127.0.0.0/24")
	var hinted *hint.Error
	if !errors.As(err, &hinted) || err.Error() != "engine.subnet: every /24 of 127.0.0.0/24 is in use on this host" || hinted.Fix != "set engine.subnet in linnet.yaml to a range that is free" {
		t.Errorf("got %v", err)
	}
}

func TestTornNetworksAreSetAside(t *testing.T) {
	n := newNetworks(t)
	good := `{"name": "good", "plugins": [{"type": "macvlan"}]}`
	for name, text := range map[string]string{"nerdctl-good": good, "nerdctl-torn": `{"na`, "nerdctl-empty": "", "nerdctl-hollow": `{"name": "hollow"}`} {
		if err := os.WriteFile(filepath.Join(n.layout.NetConf(), "default", name+".conflist"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.setAsideTorn(); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(filepath.Join(n.layout.NetConf(), "default"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"nerdctl-empty.conflist.torn", "nerdctl-good.conflist", "nerdctl-hollow.conflist.torn", "nerdctl-torn.conflist.torn"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v", names)
	}
	// A torn network's interface is still ours to remove.
	if got := n.interfaces(); !slices.Contains(got, userBridge(n.layout, "torn")) || !slices.Contains(got, bridgeName(n.layout)) {
		t.Errorf("interfaces %v", got)
	}
}

func TestOnlyInterfacesThatWeNamedAreRemoved(t *testing.T) {
	n := newNetworks(t)
	file := filepath.Join(n.layout.NetConf(), "default", "nerdctl-lan.conflist")
	if err := os.WriteFile(file, []byte(`{"name": "lan", "plugins": [{"type": "bridge", "bridge": "br0"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range n.interfaces() {
		if !strings.HasPrefix(name, "ln-") && name != bridgeName(n.layout) {
			t.Errorf("%s would be removed", name)
		}
		if len(name) > 15 {
			t.Errorf("%s is too long for the kernel", name)
		}
	}
}

// A network that appears while the engine runs is given what is ours, in whichever directory.
func TestWatchAdoptsNetworksAsTheyAreMade(t *testing.T) {
	n := newNetworks(t)
	ctx, cancel := context.WithCancel(t.Context())
	follow, err := n.watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(follow)
	defer wg.Wait()
	defer cancel()
	text, err := os.ReadFile(filepath.Join("testdata", "nerdctl-network.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"default", ".", "other"} { // the last is made now
		file := filepath.Join(n.layout.NetConf(), dir, "nerdctl-mine.conflist")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := host.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the adoption of "+file, func() bool {
			got, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(got), userBridge(n.layout, "mine"))
		})
	}
}

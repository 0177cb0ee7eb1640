package lima

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/ssh"

	"github.com/linnet-dev/linnet/pkg/host"
)

// Each start has a key of its own. It is no change of the machine's configuration, and the public half
// is where the relay looks.
func TestEachStartHasAHostKey(t *testing.T) {
	spec, err := choice{Wanted: Wanted{CPUs: 1}, arch: amd64, kind: qemu, mountType: "9p", engine: []byte(`{"a": "b"}`), image: Image{Key: "one"}}.render()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(spec.Config, noHostKey) != 1 || withoutHostKey(spec.Config) != spec.Config {
		t.Fatalf("no place for a key in\n%s", spec.Config)
	}
	m := New(Options{Layout: host.Layout{Home: t.TempDir()}})
	l, last := m.o.Layout, ""
	for _, dir := range []string{l.LimaInstance(), l.VM()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := m.tellHostKey(spec.Config); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(l.LimaInstance(), "lima.yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
		if without := withoutHostKey(string(text)); without != spec.Config {
			t.Errorf("without its key it is\n%s\nand not\n%s", without, spec.Config)
		}
		var config struct {
			Provision []struct{ Path, Content, Permissions string }
		}
		if err := yaml.Unmarshal(text, &config); err != nil {
			t.Fatal(err)
		}
		p := config.Provision[0]
		signer, err := ssh.ParsePrivateKey([]byte(p.Content))
		if err != nil || p.Path != GuestHostKey || p.Permissions != "600" {
			t.Fatalf("the machine is told %+v, %v", p, err)
		}
		public, err := os.ReadFile(l.HostKey())
		if err != nil || string(public) != string(ssh.MarshalAuthorizedKey(signer.PublicKey())) || string(public) == last {
			t.Errorf("the relay is told %q, %v; at the start before %q", public, err, last)
		}
		last = string(public)
	}
}

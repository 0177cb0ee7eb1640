package settings

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/linnet-dev/linnet/config"
)

// root are the facts for which config/linnet.yaml is written.
var root = Facts{OS: "linux", Root: true, Home: "/root", ConfigHome: "/root/.config", CPUs: 8, Memory: 16 << 30}

// write makes a linnet.yaml in a home directory of its own.
func write(t *testing.T, text string) Input {
	t.Helper()
	home := t.TempDir()
	path := filepath.Join(home, "linnet.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Input{Facts: Facts{OS: "linux", Root: true, Home: home, CPUs: 8, Memory: 16 << 30}, Path: path}
}

func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestTheReferenceSaysExactlyTheDefaults(t *testing.T) {
	s, err := Read(write(t, config.LinnetYAML()))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Show() {
		if e.Source.From != FromFile {
			t.Errorf("config/linnet.yaml does not have %s", e.Key)
		}
	}
	s.sources = nil
	if want := Defaults(root); !reflect.DeepEqual(s, want) {
		t.Errorf("config/linnet.yaml says\n%+v\nand the code\n%+v", s, want)
	}
}

func TestEachKeyOfTheReferenceHasACommentAboveIt(t *testing.T) {
	before := ""
	for i, line := range strings.Split(config.LinnetYAML(), "\n") {
		text := strings.TrimSpace(line)
		isKey := text != "" && text[0] != '#' && text[0] != '-'
		if isKey && !strings.HasPrefix(strings.TrimSpace(before), "#") {
			t.Errorf("config/linnet.yaml:%d: %q has no comment above it", i+1, text)
		}
		before = line
	}
}

// The list of fields is written by hand: it must name every leaf of the struct, by its path.
func TestEveryFieldOfTheStructIsAKey(t *testing.T) {
	s := &Settings{}
	var want []string
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			rest := strings.TrimLeftFunc(f.Name, unicode.IsUpper) // of CPUs it is s
			key := prefix + strings.ToLower(strings.TrimSuffix(f.Name, rest)) + rest
			if _, leaf := v.Field(i).Addr().Interface().(value); leaf {
				want = append(want, fmt.Sprintf("%s %p", key, v.Field(i).Addr().Interface()))
			} else {
				walk(key+".", v.Field(i))
			}
		}
	}
	walk("", reflect.ValueOf(s).Elem())
	var got []string
	for _, f := range s.fields() {
		got = append(got, fmt.Sprintf("%s %p", f.key, f.value))
		_, isScalar := f.value.(scalar)
		_, isList := f.value.(list)
		if isScalar == isList {
			t.Errorf("%s is both or neither of scalar and list", f.key)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("fields:\n%s\nstruct:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDefaultsPassTheirOwnChecks(t *testing.T) {
	for _, f := range Defaults(root).fields() {
		if f.check != nil && f.check() != nil {
			t.Errorf("%s: %v", f.key, f.check())
		}
	}
}

func TestDefaultsOfAnOrdinaryUserLookIntoTheirOwnDirectoriesFirst(t *testing.T) {
	user := Facts{OS: "linux", Home: "/home/ada", ConfigHome: "/home/ada/.config"}
	want := Dirs{
		"/home/ada/.config/containerd/certs.d", "/home/ada/.config/docker/certs.d",
		"/etc/containerd/certs.d", "/etc/docker/certs.d",
	}
	if got := Defaults(user).Engine.HostsDirs; !reflect.DeepEqual(got, want) {
		t.Errorf("hostsDirs of a user: %v", got)
	}
	for _, f := range []Facts{root, {OS: "darwin", Home: "/Users/ada", ConfigHome: "/Users/ada/.config"}, {OS: "linux"}} {
		if got := Defaults(f).Engine.HostsDirs; len(got) != 2 {
			t.Errorf("hostsDirs with %+v: %v", f, got)
		}
	}
}

func TestTheVirtualMachineGetsItsShareOfTheHost(t *testing.T) {
	for _, c := range []struct {
		cpus   int
		memory Size
		want   string
	}{
		{0, 0, "2, 4GiB"},
		{1, GiB, "1, 1GiB"},
		{2, 4 * GiB, "2, 2GiB"},
		{3, 24*GiB - MiB, "2, 8GiB"},
		{7, 7*GiB + 900*MiB, "4, 3840MiB"},
		{64, 512 * GiB, "8, 8GiB"},
	} {
		vm := Defaults(Facts{CPUs: c.cpus, Memory: int64(c.memory)}).VM
		if got := fmt.Sprintf("%s, %s", vm.CPUs, vm.Memory); got != c.want {
			t.Errorf("of %d CPUs and %s it gets %s, want %s", c.cpus, c.memory, got, c.want)
		}
	}
	if f := HostFacts(); f.CPUs < 1 || f.Memory < 1<<28 {
		t.Errorf("this host has %d CPUs and %d bytes", f.CPUs, f.Memory)
	}
}

func TestDefaultsAreIndependentCopies(t *testing.T) {
	Defaults(root).Engine.HostsDirs[0] = "/changed"
	if got := Defaults(root).Engine.HostsDirs[0]; got != "/etc/containerd/certs.d" {
		t.Errorf("a change leaked: %s", got)
	}
}

func TestWithoutAFileThereAreTheDefaultsAndNoWork(t *testing.T) {
	in := Input{Facts: root, Path: filepath.Join(t.TempDir(), "linnet.yaml"), Env: env(nil)}
	s, err := Read(in)
	if err != nil || !reflect.DeepEqual(s, Defaults(root)) {
		t.Errorf("got %+v, %v", s, err)
	}
	if n := testing.AllocsPerRun(20, func() { _, _ = Read(in) }); n > 80 {
		t.Errorf("%v allocations without a file", n)
	}
}

func TestEachSourceWinsOverTheOnesBefore(t *testing.T) {
	in := write(t, "# mine\nbackend: lima\nengine:\n  logFiles: 5\n  stopTimeout: 1h30m\n  registries: {insecure: [\"a:5000\", b]}\nbuild:\n  cacheSize: 1.5GiB\nlog: {level: warn}\nvm:\n  disk: 200GiB\n  mounts: [/data, \"~:ro\"]\n  rosetta: off\n")
	in.Env = env(map[string]string{
		"LINNET_BACKEND": "native", "LINNET_LOG_LEVEL": "error", "LINNET_ENGINE_LOG_SIZE": "",
		"LINNET_ENGINE_HOSTS_DIRS": "/a,/b", "LINNET_UNKNOWN": "x", "LINNET_VM_ACCELERATOR": "tcg",
	})
	in.Flags = []Flag{{Name: "--debug", Key: "log.level", Value: "debug"}}
	s, err := Read(in)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, e := range s.Show() {
		fmt.Fprintf(&got, "%s = %s (%s)\n", e.Key, e.Text(), e.Source)
	}
	want := `backend = native (environment LINNET_BACKEND)
engine.subnet = 10.231.0.0/16 (default)
engine.snapshotter = overlayfs (default)
engine.stopTimeout = 1h30m (~/linnet.yaml:5)
engine.logSize = 10MiB (default)
engine.logFiles = 5 (~/linnet.yaml:4)
engine.registries.insecure = a:5000,b (~/linnet.yaml:6)
engine.hostsDirs = /a,/b (environment LINNET_ENGINE_HOSTS_DIRS)
build.project =  (default)
build.cacheSize = 1536MiB (~/linnet.yaml:8)
build.cacheAge = 720h (default)
build.cacheMounts = project (default)
build.cacheMountAge = 0s (default)
docker.socket = on (default)
docker.idle = 10m (default)
vm.cpus = 4 (default)
vm.memory = 8GiB (default)
vm.disk = 200GiB (~/linnet.yaml:11)
vm.image =  (default)
vm.mounts = /data,~:ro (~/linnet.yaml:12)
vm.mountType = auto (default)
vm.accelerator = tcg (environment LINNET_VM_ACCELERATOR)
vm.rosetta = off (~/linnet.yaml:13)
vm.ports.max = 1000 (default)
vm.ports.lowest = 1024 (default)
vm.ports.address = 0.0.0.0 (default)
vm.forwardAgent = off (default)
log.level = debug (flag --debug)
`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}

func TestShowAsJSONKeepsTypes(t *testing.T) {
	in := write(t, "engine:\n  logFiles: 5\n")
	in.Flags = []Flag{{Name: "--backend", Key: "backend", Value: "lima"}}
	s, err := Read(in)
	if err != nil {
		t.Fatal(err)
	}
	entries := s.Show()
	picked := []Entry{entries[0], entries[4], entries[5], entries[6]}
	got, err := json.Marshal(picked)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"key":"backend","value":"lima","source":{"from":"flag","name":"--backend"}},` +
		`{"key":"engine.logSize","value":"10MiB","source":{"from":"default"}},` +
		`{"key":"engine.logFiles","value":5,"source":{"from":"file","name":"~/linnet.yaml","line":2}},` +
		`{"key":"engine.registries.insecure","value":[],"source":{"from":"default"}}]`
	if string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestEnvNameIsUpperSnakeCase(t *testing.T) {
	for key, want := range map[string]string{
		"backend": "LINNET_BACKEND", "log.level": "LINNET_LOG_LEVEL",
		"engine.stopTimeout":         "LINNET_ENGINE_STOP_TIMEOUT",
		"engine.registries.insecure": "LINNET_ENGINE_REGISTRIES_INSECURE",
	} {
		if got := EnvName(key); got != want {
			t.Errorf("EnvName(%s) = %s", key, got)
		}
	}
}

func TestReadingNeverChangesTheFile(t *testing.T) {
	text := "backend:   lima   # keep me\r\n\r\nengine: {}\r\n"
	in := write(t, text)
	before, _ := os.Stat(in.Path)
	if _, err := Read(in); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(in.Path)
	if data, _ := os.ReadFile(in.Path); string(data) != text || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("the file changed: %q", data)
	}
}

func TestAnImageIsAPlaceOrADigest(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for _, text := range []string{"", "/srv/guest.tar.zst", "~/image", "https://example.com/a#" + digest, "http://127.0.0.1:1/a", "/a#" + digest, digest} {
		s, err := Read(Input{Env: env(map[string]string{"LINNET_VM_IMAGE": text})})
		if err != nil || string(s.VM.Image) != text {
			t.Errorf("%q: %v", text, err)
		}
	}
}

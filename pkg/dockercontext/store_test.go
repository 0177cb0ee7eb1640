package dockercontext_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/dockercontext"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

// The directory that docker gives the context called linnet, and the file as docker itself writes it.
const (
	dir     = "contexts/meta/bf39e3acf584b1f2322f0067a461e79c42a9deb4f5cddca23ebc05f114995b76"
	tls     = "contexts/tls/bf39e3acf584b1f2322f0067a461e79c42a9deb4f5cddca23ebc05f114995b76"
	written = `{"Name":"linnet","Metadata":{"Description":"an engine"},"Endpoints":{"docker":{"Host":"unix:///a/docker.sock","SkipTLSVerify":false}}}`
)

var linnet = dockercontext.Context{Name: "linnet", Description: "an engine", Host: "unix:///a/docker.sock"}

func open(t *testing.T, config string) dockercontext.Store {
	t.Helper()
	s, err := dockercontext.Open(hosttest.Lookup("DOCKER_CONFIG=" + config))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAContextIsWrittenAsDockerWritesIt(t *testing.T) {
	config := filepath.Join(t.TempDir(), "not/there")
	s := open(t, config)
	if _, ok, err := s.Find("linnet"); ok || err != nil {
		t.Fatalf("before it is made: %v, %v", ok, err)
	}
	if err := s.Put(linnet); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(config, dir, "meta.json"))
	if err != nil || string(text) != written {
		t.Errorf("%s, %v; want %s", text, err, written)
	}
	if got, ok, err := s.Find("linnet"); got != linnet || !ok || err != nil {
		t.Errorf("read back: %+v, %v, %v", got, ok, err)
	}
	if entries, err := os.ReadDir(filepath.Join(config, dir)); len(entries) != 1 {
		t.Errorf("beside it: %v, %v", entries, err)
	}
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("docker's directory, which may hold passwords: %v, %v", info.Mode(), err)
	}
	if s.Path("linnet") != filepath.Join(config, dir, "meta.json") {
		t.Errorf("its path is %s", s.Path("linnet"))
	}
}

func TestWhatIsThereIsReplacedWhole(t *testing.T) {
	config := hosttest.Files(t, map[string]string{dir + "/meta.json": `{"Name":"linnet","Metadata":{"a":1},"Endpoints":{"docker":{"Host":"tcp://far:1"}},"More":2}`})
	s := open(t, config)
	if err := s.Put(linnet); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(s.Path("linnet")); string(text) != written {
		t.Errorf("%s, %v", text, err)
	}
}

func TestAContextIsRemovedWithItsDirectory(t *testing.T) {
	config := hosttest.Files(t, map[string]string{dir + "/meta.json": written, "contexts/meta/other/meta.json": "{}"})
	s := open(t, config)
	if err := s.Remove("linnet"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(config, dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(config, "contexts/meta/other/meta.json")); err != nil {
		t.Error(err)
	}
	if err := s.Remove("linnet"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("again: %v", err)
	}
}

func TestTheDirectoryIsDockers(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want string
	}{
		{[]string{"HOME=/home/a"}, "/home/a/.docker/config.json"},
		{[]string{"HOME=/home/a", "DOCKER_CONFIG="}, "/home/a/.docker/config.json"},
		{[]string{"HOME=/home/a", "DOCKER_CONFIG=/etc/d"}, "/etc/d/config.json"},
	} {
		if s, err := dockercontext.Open(hosttest.Lookup(c.env...)); err != nil || s.ConfigFile() != c.want {
			t.Errorf("%q: %s, %v; want %s", c.env, s.ConfigFile(), err, c.want)
		}
	}
	_, err := dockercontext.Open(hosttest.Lookup())
	if err == nil || err.Error() != "finding docker's configuration: neither DOCKER_CONFIG nor HOME is set" || hint.Of(err) != "set HOME" {
		t.Errorf("%v", err)
	}
}

func TestTheCurrentContext(t *testing.T) {
	for text, want := range map[string]string{"": "", "{}": "default", `{"auths":{},"currentContext":"far"}`: "far", "{": ""} {
		s := open(t, hosttest.Files(t, map[string]string{"config.json": text}))
		if got, err := s.Current(); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	if got, err := open(t, t.TempDir()).Current(); got != dockercontext.Default || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
}

// Each mistake names the file, and nothing is written.
func TestWhatIsInTheWay(t *testing.T) {
	outside := t.TempDir()
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"TLS keys":      {map[string]string{tls + "/docker/key.pem": "key"}, `writing docker's context "linnet": it has TLS keys, in CONFIG/` + tls},
		"a link out":    {map[string]string{"contexts": "->" + outside}, `writing docker's context "linnet": below CONFIG: contexts/tls/` + filepath.Base(tls) + `: path escapes from parent`},
		"a file before": {map[string]string{"contexts/meta": "text"}, `writing docker's context "linnet": below CONFIG: ` + dir + `: not a directory`},
	} {
		config := hosttest.Files(t, c.files)
		err := open(t, config).Put(linnet)
		if want := strings.ReplaceAll(c.want, "CONFIG", config); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", name, err, want)
		}
	}
	if entries, err := os.ReadDir(outside); len(entries) > 0 || err != nil {
		t.Errorf("outside: %v, %v", entries, err)
	}
	config := hosttest.Files(t, map[string]string{dir + "/meta.json": "{"})
	_, _, err := open(t, config).Find("linnet")
	if want := "reading docker's context \"linnet\": " + config + "/" + dir + "/meta.json: unexpected end of JSON input"; err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

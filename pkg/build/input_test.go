package build

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

func prepared(t *testing.T, h options.Host, o options.Options) (*job, error) {
	t.Helper()
	if h.LookupEnv == nil {
		h.LookupEnv = hosttest.Lookup()
	}
	return Session{Host: h}.prepare(t.Context(), o)
}

func TestTheDockerfileIsFound(t *testing.T) {
	dir := hosttest.Files(t, map[string]string{
		"a/Dockerfile": "FROM scratch\n", "b/dockerfile": "FROM scratch AS b\n", "c/Containerfile": "FROM scratch AS c\n",
		"d/Dockerfile": "->../a/Dockerfile", "d/Dockerfile.dockerignore": "x\n", "e/other": "FROM scratch AS e\n", "e/Dockerfile": "->other",
	})
	for _, c := range []struct{ context, file, text, sent string }{
		{"a", "", "FROM scratch\n", "a"},
		{"./b", "", "FROM scratch AS b\n", "b"},
		{"c", "", "FROM scratch AS c\n", "c"},
		{"a", "e/other", "FROM scratch AS e\n", "e"},
		{"d", "", "FROM scratch\n", ""}, // a link out of the directory: from memory
		{"e", "", "FROM scratch AS e\n", "e"},
		{"a", filepath.Join(dir, "c/Containerfile"), "FROM scratch AS c\n", "c"},
	} {
		j, err := prepared(t, options.Host{Dir: dir}, options.Options{Context: c.context, File: c.file})
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		sent := ""
		if c.sent != "" {
			sent = filepath.Join(dir, c.sent)
		}
		from := ""
		if j.file.In != nil {
			from = j.file.In.Dir
		}
		if string(j.file.Text) != c.text || from != sent {
			t.Errorf("%+v: %q from %q", c, j.file.Text, from)
		}
		j.close()
	}
	j, err := prepared(t, options.Host{Dir: dir}, options.Options{Context: "d"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := j.mounts[localDockerfile].Open("Dockerfile.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(f); err != nil || string(text) != "x\n" {
		t.Errorf("its .dockerignore is %q, %v", text, err)
	}
}

// Every mistake that can be seen on the host, word by word.
func TestMistakesAreFoundBeforeAnythingIsSent(t *testing.T) {
	dir := hosttest.Files(t, map[string]string{"a/Dockerfile": "FROM scratch\n", "empty/x": "", "a/other": "FROM scratch\n", "large": strings.Repeat("x", 512001)})
	for _, c := range []struct {
		o    options.Options
		want string
	}{
		{options.Options{}, "the build context is missing | name a directory, such as . for this one"},
		{options.Options{Context: "gone"}, "reading the build context gone: no such file or directory | check the spelling of the path"},
		{options.Options{Context: "a/Dockerfile"}, "reading the build context a/Dockerfile: it is a file, not a directory | name its directory; a Dockerfile is named by -f a/Dockerfile"},
		{options.Options{Context: "empty"}, "reading empty/Dockerfile: file does not exist | write one, or name another file with -f"},
		{options.Options{Context: "a", File: "gone"}, "reading gone: no such file or directory | -f names the Dockerfile, from the working directory"},
		{options.Options{Context: "a", File: "other"}, "reading other: no such file or directory | -f is relative to the working directory: -f a/other"},
		{options.Options{Context: "-", File: "-"}, "standard input is given twice | give the context or the Dockerfile as -, not both"},
		{options.Options{Context: "-"}, "reading the build context from standard input: it is empty | write a Dockerfile or a tar archive to it"},
		{options.Options{Context: "a", Contexts: []options.Context{{Name: "x", Value: "gone"}}}, `--build-context "x=gone": no such file or directory | NAME=PATH takes a directory; an image is docker-image://IMAGE`},
		{options.Options{Context: "a", Contexts: []options.Context{{Name: "x", Value: "oci-layout://a"}}}, `--build-context "x=oci-layout://a": reading a/index.json: no such file or directory | oci-layout://DIRECTORY, with :TAG or @DIGEST where it holds several`},
		{options.Options{Context: "a", Platforms: []string{"linux/amd64,linux/x"}}, `--platform "linux/x": there is no such platform | OS/ARCH, such as linux/amd64 or linux/arm64`},
		{options.Options{Context: "a", Network: "host"}, `--network "host": steps would share the engine's network | add --allow network.host to let them`},
		{options.Options{Context: "a", Network: "mine"}, `--network "mine": there is no such network for builds | one of default, none, host`},
		{options.Options{Context: "a", Allow: []string{"network.host", "all"}}, `--allow "all": nothing of that name can be allowed | one of network.host, security.insecure, device`},
		{options.Options{Context: "a", Tags: []string{"UPPER"}}, `--tag "UPPER": invalid reference format: repository name (library/UPPER) must be lowercase | NAME or NAME:TAG, in lower case`},
		{options.Options{Context: "a", Tags: []string{"a@sha256:" + strings.Repeat("a", 64)}}, `--tag "a@sha256:` + strings.Repeat("a", 64) + `": a digest cannot be given to what is yet to be built | NAME or NAME:TAG, in lower case`},
		{options.Options{Context: "a", Outputs: []options.Output{{Type: "registry"}}}, "pushing the result: it has no name | add --tag REGISTRY/NAME"},
		{options.Options{Context: "a", Outputs: []options.Output{{Type: "oci", Attrs: map[string]string{"tar": "false"}}}}, `--output "type=oci,tar=false": it says not where to | dest=DIRECTORY`},
		{options.Options{Context: "a", Outputs: []options.Output{{Type: "tar", Dest: "a"}}}, "writing the result to a: it is a directory | name a file: dest=a/image.tar"},
		{options.Options{Context: "a", Annotations: []string{"x"}}, `--annotation "x": it is not of the form key=value`},
		{options.Options{Context: "a", Annotations: []string{"blob:x=y"}}, `--annotation "blob:x=y": nothing is called "blob" that could be annotated | one of manifest, index, manifest-descriptor, index-descriptor`},
		{options.Options{Context: "a", Secrets: []options.Secret{{ID: "s", File: "gone"}}}, "the secret s: reading gone: no such file or directory | --secret id=s,src=FILE names the file, --secret id=s,env=VARIABLE a variable"},
		{options.Options{Context: "a", Secrets: []options.Secret{{ID: "s", File: "a"}}}, "the secret s: reading a: it is a directory | --secret id=s,src=FILE names the file, --secret id=s,env=VARIABLE a variable"},
		{options.Options{Context: "a", Secrets: []options.Secret{{ID: "s", File: "large"}}}, "the secret s: reading large: it has 512001 bytes, more than 512000 | --secret id=s,src=FILE names the file, --secret id=s,env=VARIABLE a variable"},
		{options.Options{Context: "a", Secrets: []options.Secret{{ID: "s", Env: "GONE"}}}, "the secret s: the variable GONE is not set | set it, or take a file: --secret id=s,src=FILE"},
		{options.Options{Context: "a", SSH: []options.SSH{{ID: "default"}}}, "--ssh default: no SSH agent: SSH_AUTH_SOCK is not set | start one (eval $(ssh-agent); ssh-add), or name a key: --ssh default=KEYFILE"},
		{options.Options{Context: "a", SourcePolicy: "gone"}, "reading the source policy gone: no such file or directory"},
	} {
		_, err := prepared(t, options.Host{Dir: dir, Stdin: new(bytes.Buffer)}, c.o)
		if got := shown(err); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.o, got, c.want)
		}
	}
}

// The engine is neither started nor spoken to for a build that cannot be.
func TestAMistakeStartsNoEngine(t *testing.T) {
	d, err := NewDisplay(io.Discard, "quiet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Session{Host: options.Host{Dir: t.TempDir(), LookupEnv: hosttest.Lookup()}}).Build(t.Context(), options.Options{Context: "."}, d); err == nil {
		t.Error("there is no Dockerfile")
	}
}

func TestWhatIsAskedOfBuildKit(t *testing.T) {
	dir := hosttest.Files(t, map[string]string{"Dockerfile": "# syntax=docker/dockerfile:1\nFROM scratch\n", "n/f": ""})
	j, err := prepared(t, options.Host{Dir: dir, LookupEnv: hosttest.Lookup("SOURCE_DATE_EPOCH=17")}, options.Options{
		Context: ".", Target: "t", Args: map[string]string{"A": "b"}, Labels: map[string]string{"l": "m"}, Platforms: []string{"linux/arm64", "amd64,linux/arm64"},
		NoCacheFilter: []string{"one", "two"}, Network: "none", AddHosts: []string{"h:1.2.3.4"}, ShmSize: 7, Ulimits: []string{"nofile=1:2"},
		Contexts: []options.Context{{Name: "n", Value: "n"}, {Name: "i", Value: "docker-image://x"}}, CacheMounts: "p", Attests: map[string]string{"sbom": options.Disabled, "provenance": "mode=max"},
		Tags: []string{"app", "app:2", "app"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"target": "t", "build-arg:A": "b", "build-arg:SOURCE_DATE_EPOCH": "17", "label:l": "m", "platform": "linux/arm64,linux/amd64",
		"no-cache": "one,two", "force-network-mode": "none", "add-hosts": "h=1.2.3.4", "shm-size": "7", "ulimit": "nofile=1:2",
		"context:n": "local:named-n", "context:i": "docker-image://x", "build-arg:BUILDKIT_CACHE_MOUNT_NS": "p", "attest:provenance": "mode=max",
		"cmdline": "docker/dockerfile:1", "image-resolve-mode": "local", "filename": "Dockerfile",
	} {
		if got, ok := j.attrs[key]; !ok || got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if _, ok := j.attrs["attest:sbom"]; ok {
		t.Error("a bill of materials is asked for")
	}
	e := j.opt.Exports[0]
	if e.Type != "image" || e.Attrs["name"] != "docker.io/library/app:latest,docker.io/library/app:2" || e.Attrs["unpack"] != "true" {
		t.Errorf("the result is %+v", e)
	}
	if other := sharedKey(filepath.Join(dir, "n")); j.opt.SharedKey != sharedKey(dir) || j.opt.SharedKey == other || strings.Contains(j.opt.SharedKey, "/") {
		t.Errorf("the copy is called %q", j.opt.SharedKey)
	}
}

// A link that leads out of the context is followed where no other user can have put it there, also in several steps, and
// nowhere else.
func TestALinkThatLeadsOut(t *testing.T) {
	dir := hosttest.Files(t, map[string]string{
		"in/Dockerfile": "->../out/one", "out/one": "->../other/two", "other/two": "FROM scratch AS two\n",
		"in/sub/Dockerfile": "FROM scratch AS sub\n", "in/elsewhere": "->../other", "in/loop": "->../out/loop", "out/loop": "->../in/loop",
		"in/inside": "->sub/Dockerfile", "in/rooted": "->/sub/Dockerfile",
	})
	read := func(file string) (string, error) {
		j, err := prepared(t, options.Host{Dir: dir}, options.Options{Context: "in", File: file})
		if err != nil {
			return "", err
		}
		j.close()
		return string(j.file.Text), nil
	}
	for file, want := range map[string]string{
		"": "FROM scratch AS two\n", "in/elsewhere/two": "FROM scratch AS two\n", "in/inside": "FROM scratch AS sub\n",
		"in/rooted": "FROM scratch AS sub\n", "out/one": "FROM scratch AS two\n",
	} {
		if got, err := read(file); err != nil || got != want {
			t.Errorf("%q is %q, %v", file, got, err)
		}
	}
	if _, err := read("in/loop"); shown(err) != "reading in/loop: too many links | -f names the Dockerfile, from the working directory" {
		t.Errorf("a loop: %v", shown(err))
	}
	for _, open := range []string{"in", "out"} {
		if err := os.Chmod(filepath.Join(dir, open), 0o777); err != nil {
			t.Fatal(err)
		}
		want := "it is a link that leads out of its directory, and others may write there | name the file that is meant: -f "
		for _, file := range []string{"", "in/Dockerfile", "out/one"} {
			if _, err := read(file); (open == "out" || file != "out/one") && !strings.Contains(shown(err), want) {
				t.Errorf("%s is anybody's, %q: %v", open, file, shown(err))
			}
		}
		if got, err := read("in/inside"); err != nil || got != "FROM scratch AS sub\n" {
			t.Errorf("%s is anybody's: %q, %v", open, got, err)
		}
		if err := os.Chmod(filepath.Join(dir, open), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

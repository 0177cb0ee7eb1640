//go:build e2e && linux

package native_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// composeKeys are a test per key of the build section: it observes on the real engine what the
// key does.
var composeKeys = map[string]func(composing){
	"additional_contexts": func(p composing) {
		p.file("other/f", "other\n")
		p.app("FROM img\nCOPY --from=o f /f\nRUN grep other /f\n", "additional_contexts: {o: ./other, img: \"docker-image://"+p.base+"\"}")
		p.build()
	},
	"args": func(p composing) {
		p.app("FROM BASE\nARG A\nARG HERE\nARG GONE=default\nRUN echo \"<$A|$HERE|$GONE>\"\n", "args: [\"A=b c\", HERE, GONE]")
		p.has(p.with("HERE=from here").build("--no-cache"), "<b c|from here|default>")
		p.has(p.build("--no-cache", "--build-arg", "A=line"), "<line||default>")
	},
	"cache_to": func(p composing) {
		p.app("FROM BASE\nRUN echo compose-cache\n", "cache_to: [\"type=local,dest=cache,mode=max\"]\ncache_from: [\"type=local,src=./cache\"]")
		p.build("--no-cache")
		p.e.Must(p, "builder", "prune", "--all", "--force")
		if text := p.build(); state(text, "RUN echo compose-cache") != "CACHED" {
			p.Errorf("not cached:\n%s", text)
		}
	},
	"dockerfile": func(p composing) {
		p.file("sub/other.Dockerfile", "FROM BASE\nCOPY here /here\n")
		p.file("here", "yes")
		p.app("FROM nowhere\n", "dockerfile: sub/other.Dockerfile")
		p.build()
	},
	"dockerfile_inline": func(p composing) {
		p.app("FROM nowhere\n", "dockerfile_inline: |\n  FROM BASE\n  RUN echo inline\n")
		p.has(p.build(), "[app 2/2] RUN echo inline")
	},
	"entitlements": func(p composing) {
		p.app("FROM BASE\nRUN --security=insecure mkdir -p /mnt && mount -t tmpfs none /mnt\n", "entitlements: [security.insecure]")
		p.build()
	},
	"extra_hosts": func(p composing) {
		p.app("FROM BASE\nRUN grep -q '^10.1.2.3.*left' /etc/hosts\n", "extra_hosts: [\"left=10.1.2.3\"]")
		p.build()
	},
	"labels": func(p composing) {
		p.app("FROM BASE\n", "labels: {a: b}")
		p.build()
		p.has(p.inspect("{{json .Config.Labels}}"), `"a":"b"`)
	},
	"network": func(p composing) {
		p.app("FROM BASE\nRUN test $(ls /sys/class/net | wc -l) = 1\n", "network: none")
		p.build()
	},
	"no_cache": func(p composing) {
		p.app("FROM BASE\nRUN echo compose-no-cache\n", "no_cache: true")
		p.build()
		if text := p.build(); state(text, "RUN echo compose-no-cache") == "CACHED" {
			p.Errorf("the step was cached:\n%s", text)
		}
	},
	"no_cache_filter": func(p composing) {
		p.app("FROM BASE AS one\nRUN echo compose-one >/one\nFROM BASE AS two\nRUN echo compose-two >/two\nFROM BASE\nCOPY --from=one /one /\nCOPY --from=two /two /\n", "no_cache_filter: [two]")
		p.build()
		text := p.build()
		if one, two := state(text, "RUN echo compose-one"), state(text, "RUN echo compose-two"); one != "CACHED" || two == "CACHED" {
			p.Errorf("one is %s and two is %s", one, two)
		}
	},
	"platforms": func(p composing) {
		p.app("FROM scratch\nARG TARGETARCH\nCOPY <<EOF /$TARGETARCH\nEOF\n", "platforms: [linux/amd64, linux/arm64]")
		p.build()
		p.has(p.e.Must(p, "images", "--format", "{{.Platform}}", p.name+"-app"), "linux/amd64", "linux/arm64")
	},
	"privileged": func(p composing) {
		p.app("FROM BASE\nRUN --security=insecure mkdir -p /mnt && mount -t tmpfs none /mnt && echo privileged\n", "privileged: true")
		p.build()
	},
	"provenance": func(p composing) {
		reg := pushTarget(p.T)
		p.app("FROM BASE\nRUN true\n", "provenance: mode=max")
		p.file("compose.yaml", strings.Replace(read(p.T, filepath.Join(p.dir, "compose.yaml")), "    build:", "    image: "+reg+"/made\n    build:", 1))
		p.build("--push")
		p.has(manifest(p.T, reg, "made"), "attestation-manifest")
	},
	"pull": func(p composing) {
		reg := pushTarget(p.T)
		p.file("first/Dockerfile", "FROM BASE\nRUN echo first >/which\n")
		p.file("second/Dockerfile", "FROM BASE\nRUN echo second >/which\n")
		p.e.Must(p, "build", "-q", "-t", reg+"/pulled", "--push", filepath.Join(p.dir, "first"))
		p.e.Must(p, "pull", "-q", reg+"/pulled")
		p.e.Must(p, "build", "-q", "-o", "type=registry,store=false,name="+reg+"/pulled", filepath.Join(p.dir, "second"))
		p.app("FROM "+reg+"/pulled\nRUN cat /which && echo one\n", "pull: false")
		p.has(p.build("--no-cache"), "first")
		p.app("FROM "+reg+"/pulled\nRUN cat /which && echo two\n", "pull: true")
		p.has(p.build("--no-cache"), "second")
	},
	"sbom": func(p composing) {
		reg := pushTarget(p.T)
		p.file("scanner/scan", "#!/bin/sh\necho '{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"predicateType\":\"https://spdx.dev/Document\",\"predicate\":{}}' >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json\n")
		p.file("scanner/Dockerfile", "FROM BASE\nCOPY --chmod=755 scan /scan\nCMD [\"/scan\"]\n")
		p.e.Must(p, "build", "-q", "-t", "compose-scanner", filepath.Join(p.dir, "scanner"))
		p.app("FROM BASE\nRUN true\n", "sbom: generator=docker.io/library/compose-scanner\nprovenance: false")
		p.file("compose.yaml", strings.Replace(read(p.T, filepath.Join(p.dir, "compose.yaml")), "    build:", "    image: "+reg+"/made\n    build:", 1))
		p.build("--push")
		p.has(manifest(p.T, reg, "made"), "attestation-manifest")
	},
	"secrets": func(p composing) {
		p.file("token", "of a file")
		p.app("FROM BASE\nRUN --mount=type=secret,id=f,required=true --mount=type=secret,id=e,env=E,required=true test \"$(cat /run/secrets/f)|$E\" = 'of a file|of the environment'\n",
			"secrets: [f, {source: env, target: e}]")
		p.file("compose.yaml", read(p.T, filepath.Join(p.dir, "compose.yaml"))+"secrets:\n  f: {file: ./token}\n  env: {environment: SECRET_OF_COMPOSE}\n")
		p.with("SECRET_OF_COMPOSE=of the environment").build()
		if r := p.compose("build"); r.Code == 0 || !strings.Contains(r.Err, "service app: the secret e: the variable SECRET_OF_COMPOSE is not set") {
			p.Errorf("without the variable: %+v", r)
		}
	},
	"shm_size": func(p composing) {
		p.app("FROM BASE\nRUN df -k /dev/shm | grep -q ' 24576 '\n", "shm_size: 24m")
		p.build()
	},
	"ssh": func(p composing) {
		sock := sshAgent(p.T)
		p.app("FROM BASE\nRUN --mount=type=ssh,id=one,required=true test -S \"$SSH_AUTH_SOCK\"\nRUN --mount=type=ssh,required=true test -S \"$SSH_AUTH_SOCK\"\n", "ssh: [default, \"one="+sock+"\"]")
		p.with("SSH_AUTH_SOCK=" + sock).build()
	},
	"tags": func(p composing) {
		p.app("FROM BASE\nLABEL a=tags\n", "tags: [\"compose-tags:two\"]")
		p.build()
		p.e.Must(p, "run", "--rm", "--network=none", "compose-tags:two", "true")
		p.inspect("{{.Id}}")
	},
	"target": func(p composing) {
		p.app("FROM BASE AS good\nFROM BASE AS bad\nRUN false\n", "target: good")
		p.build()
	},
	"ulimits": func(p composing) {
		p.app("FROM BASE\nRUN test $(ulimit -Sn)/$(ulimit -Hn) = 321/432\n", "ulimits: {nofile: {soft: 321, hard: 432}}")
		p.build()
	},
}

// manifest is what a registry has under a name, as text.
func manifest(t *testing.T, registry, name string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+registry+"/v2/"+name+"/manifests/latest", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Keys that another one's test covers, or that mean nothing on Linux.
var coveredKeys = []string{"context", "cache_from", "isolation"}

// Every key of a service's build section does here what it says, those too that nerdctl's compose
// ignores.
func TestComposeBuildKeys(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	section := reflect.TypeFor[types.BuildConfig]()
	for i := range section.NumField() {
		key, _, _ := strings.Cut(section.Field(i).Tag.Get("yaml"), ",")
		if strings.HasPrefix(key, "#") || slices.Contains(coveredKeys, key) {
			continue
		}
		t.Run(key, func(t *testing.T) {
			test := composeKeys[key]
			if test == nil {
				t.Fatalf("%s has no test: what does it do?", key)
			}
			test(newComposing(t, e))
		})
	}
}

// A secret of a variable, which nerdctl's compose has no word for, is the build's alone: up does
// not stumble over it, and shows no command line with it.
func TestComposeUpWithASecretOfTheBuild(t *testing.T) {
	t.Parallel()
	p := newComposing(t, lab.Shared(t)).with("SECRET_OF_COMPOSE=of the environment")
	t.Cleanup(func() { p.compose("down") })
	p.app("FROM BASE\nRUN --mount=type=secret,id=env,required=true wc -c </run/secrets/env >/size\n", "secrets: [env]")
	p.file("compose.yaml", read(p.T, filepath.Join(p.dir, "compose.yaml"))+"secrets:\n  env: {environment: SECRET_OF_COMPOSE}\n")
	if text := p.must("up", "-d"); strings.Contains(text, "of the environment") {
		t.Errorf("the secret is in\n%s", text)
	}
	if got := p.must("exec", "-T", "app", "cat", "/size"); !strings.Contains(got, "18") {
		t.Errorf("the secret had %q bytes", got)
	}
}

// Ctrl-C ends all builds of a project, soon.
func TestComposeBuildIsCalledOff(t *testing.T) {
	t.Parallel()
	p := newComposing(t, lab.Shared(t))
	p.file("compose.yaml", "services:\n  a: {build: {dockerfile_inline: \"FROM BASE\\nRUN sleep 100\"}}\n  b: {build: {dockerfile_inline: \"FROM BASE\\nRUN sleep 101\"}}\n")
	cmd := p.e.Command(t.Context(), "compose", "-f", filepath.Join(p.dir, "compose.yaml"), "build", "--progress=plain")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		for _, s := range []string{"[a 2/2] RUN", "[b 2/2] RUN"} {
			if strings.Contains(lines.Text(), s) {
				seen[s] = true
			}
		}
		if len(seen) == 2 {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if took := time.Since(began); cmd.ProcessState.ExitCode() != 130 || took > 2*time.Second {
		t.Errorf("exit code %d after %v", cmd.ProcessState.ExitCode(), took)
	}
}

// Two builds run at once: each waits for the other.
func TestComposeBuildsRunAtOnce(t *testing.T) {
	p := newComposing(t, lab.Shared(t))
	for me, other := range map[string]string{"left": "right", "right": "left"} {
		p.file(me+"/Dockerfile", fmt.Sprintf("FROM BASE\nRUN --mount=type=cache,id=meeting,target=/m touch /m/%s; n=0; while ! test -e /m/%s; do n=$((n+1)); test $n -lt 300 || exit 1; sleep 0.1; done\n", me, other))
	}
	p.file("compose.yaml", "services:\n  left: {build: left}\n  right: {build: right}\n")
	p.has(p.build(), "[left stage-0 2/2] RUN", "[right stage-0 2/2] RUN")
}

// A service that is built from another one's image waits for it, and brings it along.
func TestComposeBuildFromAnotherService(t *testing.T) {
	t.Parallel()
	p := newComposing(t, lab.Shared(t))
	p.file("app/Dockerfile", "FROM base\nRUN cat /made\n")
	p.file("base/Dockerfile", "FROM BASE\nRUN sleep 1; echo made-in-base >/made\n")
	p.file("compose.yaml", "services:\n  app: {build: {context: app, additional_contexts: {base: \"service:lower\"}}}\n  lower: {build: base}\n")
	p.has(p.build("--no-cache", "app"), "made-in-base")
}

// An error says which service and which line, and ends the other builds.
func TestComposeBuildErrors(t *testing.T) {
	p := newComposing(t, lab.Shared(t))
	p.file("bad/Dockerfile", "FROM BASE\nRUN exit 3\n")
	p.file("slow/Dockerfile", "FROM BASE\nRUN sleep 100\n")
	p.file("compose.yaml", "services:\n  bad: {build: bad}\n  slow: {build: slow}\n")
	for _, args := range [][]string{{"build"}, {"up", "-d"}, {"up", "-d", "--build"}, {"create"}, {"run", "bad"}} {
		r := p.compose(args...)
		if r.Code != 1 || !strings.Contains(r.Err, "linnet: service bad: building: ") || !strings.Contains(r.Err, "bad/Dockerfile:2: process ") {
			t.Errorf("compose %q: exit code %d\n%s", args, r.Code, r.Err)
		}
	}
	if r := p.compose("build", "--nope"); r.Code != 2 || r.Err != "linnet: compose build: unknown flag: --nope\nhint: linnet compose build --help lists the flags\n" {
		t.Errorf("an unknown flag: %d %s", r.Code, r.Err)
	}
	if r := p.compose("build", "nope"); r.Code != 1 || !strings.Contains(r.Err, `there is no service "nope"`) {
		t.Errorf("an unknown service: %d %s", r.Code, r.Err)
	}
}

// up builds what is missing, again with --build, and leaves containers alone whose image is the
// same.
func TestComposeUpBuilds(t *testing.T) {
	t.Parallel()
	p := newComposing(t, lab.Shared(t))
	t.Cleanup(func() { p.compose("down") })
	sock := sshAgent(t)
	dockerfile := "FROM BASE\nRUN --mount=type=ssh,id=one,required=true echo one >/which\n"
	p.app(dockerfile, "ssh: [\"one="+sock+"\"]")
	id := func() string { return p.e.Must(t, "ps", "-q", "--no-trunc", "--filter", "name="+p.name+"-app-1") }
	if text := p.must("up", "-d"); strings.Contains(text, "gnoring") {
		t.Errorf("nerdctl complains about what was built:\n%s", text)
	}
	first := id()
	if first == "" {
		t.Fatal("it does not run")
	}
	if text := p.must("up", "-d"); strings.Contains(text, "[app ") || id() != first {
		t.Errorf("a second up, with nothing missing: %s then %s\n%s", first, id(), text)
	}
	if text := p.must("up", "-d", "--build"); state(text, "RUN --mount") != "CACHED" || id() != first {
		t.Errorf("up --build with nothing changed: %s then %s\n%s", first, id(), text)
	}
	p.app(strings.ReplaceAll(dockerfile, "one >", "two >"), "ssh: [\"one="+sock+"\"]")
	p.must("up", "-d", "--build")
	if got := p.must("exec", "-T", "app", "cat", "/which"); !strings.Contains(got, "two") || id() == first {
		t.Errorf("up --build with a change: %s then %s, and %q", first, id(), got)
	}
}

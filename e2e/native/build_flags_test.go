//go:build linux

package native_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/crypto/ssh/agent"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/build"
)

// building is one test of a flag of `build`: what it builds, and where.
type building struct {
	*testing.T
	e *lab.Engine
	// base is an image to build from, dir a folder of the test's own.
	base, dir string
}

// build builds a Dockerfile in which BASE stands for the image to build from.
func (b building) build(dockerfile string, args ...string) lab.Result {
	b.Helper()
	path := filepath.Join(b.dir, "Dockerfile")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(dockerfile, "BASE", b.base)), 0o644); err != nil {
		b.Fatal(err)
	}
	return b.e.Run(b, append(append([]string{"build", "--progress=plain"}, args...), b.dir)...)
}

// must is build that has to succeed; its output comes back.
func (b building) must(dockerfile string, args ...string) string {
	b.Helper()
	r := b.build(dockerfile, args...)
	if r.Code != 0 {
		b.Fatalf("build %q: exit code %d\n%s%s", args, r.Code, r.Out, r.Err)
	}
	return r.Out + r.Err
}

// refused is build that has to fail with a text in its error.
func (b building) refused(text, dockerfile string, args ...string) {
	b.Helper()
	r := b.build(dockerfile, args...)
	if r.Code == 0 || !strings.Contains(r.Err, text) {
		b.Errorf("build %q: exit code %d, and not %q in\n%s", args, r.Code, text, r.Err)
	}
}

// has fails the test when a text is missing in another.
func (b building) has(text string, wants ...string) {
	b.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			b.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// file writes a file of the test's own.
func (b building) file(name, text string) string {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// layout builds into an OCI layout and reads it: all of its JSON documents, as one text.
func (b building) layout(dockerfile string, args ...string) string {
	b.Helper()
	out := filepath.Join(b.TempDir(), "layout")
	b.must(dockerfile, append(args, "--output", "type=oci,tar=false,dest="+out)...)
	text := read(b.T, filepath.Join(out, "index.json"))
	blobs, err := filepath.Glob(filepath.Join(out, "blobs", "sha256", "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, blob := range blobs {
		if content := read(b.T, blob); strings.HasPrefix(content, "{") {
			text += content
		}
	}
	return text
}

// limit prints a step's control group file, of version 1 or 2. The cache does not go by
// limits.
func limit(one, two string) string {
	return "FROM BASE\nRUN cat /sys/fs/cgroup/" + one + " /sys/fs/cgroup/" + two + " 2>/dev/null; true\n"
}

// flagTests are a test per flag: it observes on the real engine what the flag does.
var flagTests = map[string]func(building){
	"add-host": func(b building) {
		b.must("FROM BASE\nRUN grep -q '^10.1.2.3.*left' /etc/hosts && grep -q '^::7.*right' /etc/hosts\n", "--add-host", "left:10.1.2.3", "--add-host=right=[::7]")
	},
	"allow": func(b building) {
		dockerfile := "FROM BASE\nRUN --security=insecure mount -t tmpfs none /mnt\n"
		b.refused("Dockerfile:2: a step asks for security.insecure, which is not allowed\nhint: --allow security.insecure", "FROM BASE\nRUN --security=insecure true\n")
		b.must(strings.ReplaceAll(dockerfile, "mount", "mkdir -p /mnt && mount"), "--allow", "security.insecure")
	},
	"annotation": func(b building) {
		b.has(b.layout("FROM BASE\n", "--annotation", "a.b=c", "--annotation", "manifest,manifest-descriptor:d=e"), `"a.b": "c"`, `"d": "e"`, `"d":"e"`)
	},
	"attest": func(b building) {
		b.has(b.layout("FROM BASE\nRUN true\n", "--attest", "type=provenance,mode=max"), `https://slsa.dev/provenance/`, `"llbDefinition"`)
	},
	"build-arg": func(b building) {
		e := *b.e
		e.Env = append(slices.Clone(e.Env), "HERE=from here")
		b.e = &e
		b.has(b.must("FROM BASE\nARG A\nARG HERE\nARG GONE=default\nRUN echo \"<$A|$HERE|$GONE>\"\n", "--no-cache", "--build-arg", "A=b c", "--build-arg", "HERE", "--build-arg", "GONE"), "<b c|from here|default>")
	},
	"build-context": func(b building) {
		other := b.TempDir()
		if err := os.WriteFile(filepath.Join(other, "f"), []byte("other"), 0o644); err != nil {
			b.Fatal(err)
		}
		layout := filepath.Join(b.TempDir(), "layout")
		b.must("FROM scratch\nCOPY --from=other f /f\n", "--build-context", "other="+other, "--output", "type=oci,tar=false,dest="+layout)
		b.must("FROM img\nCOPY --from=l /f /f\nRUN grep other /f\n", "--build-context", "img=docker-image://"+b.base, "--build-context", "l=oci-layout://"+layout)
	},
	"buildkit-host": func(b building) {
		b.refused("linnet builds with its own BuildKit", "FROM BASE\n", "--buildkit-host", "unix:///run/other.sock")
	},
	"cache-from": cacheBothWays,
	"cache-to":   cacheBothWays,
	"call": func(b building) {
		b.has(b.must("FROM BASE AS one\nARG TOKEN=x\nFROM one AS two\n", "--call", "outline"), "TOKEN")
		b.has(b.must("FROM BASE AS one\nFROM one AS two\n", "--call", "targets,format=json"), `"name": "one"`)
	},
	"cgroup-parent": func(b building) {
		b.has(b.must("FROM BASE\nRUN --security=insecure cat /proc/1/cgroup /proc/self/mountinfo\n", "--cgroup-parent", "/linnet-test-parent", "--allow", "security.insecure"), "linnet-test-parent")
	},
	"check": func(b building) {
		b.refused("1 remark", "FROM scratch as one\n", "--check")
		if r := b.build("FROM scratch as one\n", "--check"); !strings.Contains(r.Out, "Dockerfile:1: FromAsCasing: ") || !strings.Contains(r.Out, "\n    FROM scratch as one\n") {
			b.Errorf("the remark is %q", r.Out)
		}
		b.has(b.must("FROM scratch AS one\n", "--check"), "no remarks")
		b.has(b.must("FROM BASE as one\n"), "warning: FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)\n")
	},
	"compress": sameAsWithout("--compress"),
	"cpu-period": func(b building) {
		b.has(b.must(limit("cpu/cpu.cfs_period_us", "cpu.max"), "--no-cache", "--cpu-period", "50000", "--cpu-quota", "30000"), "50000")
	},
	"cpu-quota": func(b building) {
		b.has(b.must(limit("cpu/cpu.cfs_quota_us", "cpu.max"), "--no-cache", "--cpu-quota", "35000"), "35000")
	},
	"cpu-shares": func(b building) {
		text := b.must(limit("cpu/cpu.shares", "cpu.weight"), "--no-cache", "-c", "512")
		if !strings.Contains(text, "512") && !strings.Contains(text, "20") {
			b.Errorf("no weight of 512 in\n%s", text)
		}
	},
	"cpuset-cpus": func(b building) {
		b.must("FROM BASE\nRUN grep -q '^Cpus_allowed_list:\t0$' /proc/self/status\n", "--cpuset-cpus", "0")
	},
	"cpuset-mems": func(b building) {
		b.must("FROM BASE\nRUN grep -q '^Mems_allowed_list:\t0$' /proc/self/status\n", "--cpuset-mems", "0")
	},
	"disable-content-trust": sameAsWithout("--disable-content-trust"),
	"file": func(b building) {
		other := b.file("sub/other.Dockerfile", "FROM "+b.base+"\nCOPY here /here\nRUN grep yes /here\n")
		b.file("sub/other.Dockerfile.dockerignore", "left\n")
		b.file("here", "yes")
		b.e.Must(b, "build", "-q", "-f", other, b.dir)
		if r := b.e.RunIn(b, strings.NewReader("FROM "+b.base+"\nCOPY here /here\n"), "build", "-q", "-f", "-", b.dir); r.Code != 0 {
			b.Errorf("-f -: %s", r.Err)
		}
		server := httptest.NewServer(http.FileServer(http.Dir(b.dir)))
		defer server.Close()
		b.e.Must(b, "build", "-q", "-f", server.URL+"/sub/other.Dockerfile", b.dir)
	},
	"force-rm": sameAsWithout("--force-rm"),
	"iidfile": func(b building) {
		path := filepath.Join(b.dir, "id")
		b.must("FROM BASE\nLABEL a=iid\n", "--iidfile", path, "-t", "flag-iid")
		b.has(b.e.Must(b, "images", "--no-trunc", "--format", "{{.Digest}}", "flag-iid"), read(b.T, path))
		b.refused("unknown instruction", "FROM BASE\nNOPE\n", "--iidfile", path)
		if _, err := os.Stat(path); err == nil {
			b.Error("a build that failed left the file of the one before")
		}
	},
	"isolation": func(b building) {
		b.has(b.must("FROM BASE\n", "--isolation", "hyperv"), "warning: --isolation means nothing")
	},
	"label": func(b building) {
		b.must("FROM BASE\nLABEL a=old\n", "--label", "a=b", "--label", "c", "-t", "flag-label")
		b.has(b.e.Must(b, "image", "inspect", "--format", "{{json .Config.Labels}}", "flag-label"), `"a":"b"`, `"c":""`)
	},
	"load": func(b building) {
		b.must("FROM BASE\n", "--load", "-t", "flag-load")
		b.e.Must(b, "run", "--rm", "--network=none", "flag-load", "true")
	},
	"memory": func(b building) {
		b.has(b.must(limit("memory/memory.limit_in_bytes", "memory.max"), "--no-cache", "-m", "192m"), "201326592")
	},
	"memory-swap": func(b building) {
		text := b.must(limit("memory/memory.memsw.limit_in_bytes", "memory.swap.max"), "--no-cache", "-m", "128m", "--memory-swap", "384m")
		if !strings.Contains(text, "402653184") && !strings.Contains(text, "268435456") {
			b.Errorf("no such limit in\n%s", text)
		}
	},
	"metadata-file": func(b building) {
		path := filepath.Join(b.dir, "meta.json")
		b.must("FROM BASE\nLABEL a=meta\n", "--metadata-file", path, "-t", "flag-meta")
		var got struct {
			Digest     string                  `json:"containerimage.digest"`
			Name       string                  `json:"image.name"`
			Descriptor struct{ Digest string } `json:"containerimage.descriptor"`
		}
		if err := json.Unmarshal([]byte(read(b.T, path)), &got); err != nil {
			b.Fatal(err)
		}
		if got.Digest == "" || got.Descriptor.Digest != got.Digest || got.Name != "docker.io/library/flag-meta:latest" {
			b.Errorf("it says %+v", got)
		}
	},
	"network": func(b building) {
		b.must("FROM BASE\nRUN test $(ls /sys/class/net | wc -l) = 1\n", "--network", "none")
		b.refused("hint: add --allow network.host", "FROM BASE\n", "--network", "host")
		b.has(b.must("FROM BASE\nRUN readlink /proc/self/ns/net\n", "--network", "host", "--allow", "network.host"), link(b.T, "/proc/self/ns/net"))
		b.refused(`there is no such network for builds`, "FROM BASE\n", "--network", "nope")
	},
	"no-cache": func(b building) {
		b.must("FROM BASE\nRUN echo no-cache\n")
		b.has(b.must("FROM BASE\nRUN echo no-cache\n"), "CACHED")
		if text := b.must("FROM BASE\nRUN echo no-cache\n", "--no-cache"); state(text, "RUN echo no-cache") == "CACHED" {
			b.Errorf("the step was cached:\n%s", text)
		}
	},
	"no-cache-filter": func(b building) {
		dockerfile := "FROM BASE AS one\nRUN echo filter-one >/one\nFROM BASE AS two\nRUN echo filter-two >/two\nFROM BASE\nCOPY --from=one /one /\nCOPY --from=two /two /\n"
		b.must(dockerfile)
		text := b.must(dockerfile, "--no-cache-filter", "two")
		if one, two := state(text, "RUN echo filter-one"), state(text, "RUN echo filter-two"); one != "CACHED" || two == "CACHED" {
			b.Errorf("one is %s and two is %s", one, two)
		}
	},
	"output": outputs,
	"platform": func(b building) {
		b.must("FROM scratch\nARG TARGETARCH\nCOPY <<EOF /$TARGETARCH\nEOF\n", "--platform", "linux/amd64,linux/arm64", "-t", "flag-platform")
		if got := b.e.Must(b, "images", "--format", "{{.Platform}}", "flag-platform"); !strings.Contains(got, "linux/arm64") || !strings.Contains(got, "linux/amd64") {
			b.Errorf("the platforms are %q", got)
		}
		b.refused("there is no such platform", "FROM scratch\n", "--platform", "linux/nope")
	},
	"policy": func(b building) {
		b.must("FROM BASE\n", "--policy", "disabled=true")
		b.refused("linnet does not read docker's policies", "FROM BASE\n", "--policy", "filename=x.rego")
	},
	"print": func(b building) {
		b.has(b.must("FROM BASE AS printed\n", "--print", "targets"), "printed")
	},
	"progress": func(b building) {
		for mode, want := range map[string]string{"plain": "#1 [internal]", "rawjson": `{"vertexes":`} {
			if r := b.build("FROM BASE\n", "--progress="+mode); !strings.HasPrefix(r.Err, want) {
				b.Errorf("%s begins with %.60q", mode, r.Err)
			}
		}
		if r := b.build("FROM BASE\n", "--progress=quiet"); r.Out+r.Err != "" {
			b.Errorf("quiet says %q", r.Out+r.Err)
		}
		b.refused("standard error is not a terminal", "FROM BASE\n", "--progress=tty")
	},
	"provenance": func(b building) {
		b.has(b.layout("FROM BASE\nRUN true\n", "--provenance", "mode=max"), `"llbDefinition"`)
		if text := b.layout("FROM BASE\nRUN true\n", "--provenance=false"); strings.Contains(text, "slsa") {
			b.Error("it is there though it was not wanted")
		}
	},
	"pull": func(b building) {
		reg := pushTarget(b.T)
		b.must("FROM BASE\nRUN echo first >/which\n", "-t", reg+"/pulled", "--push")
		b.e.Must(b, "pull", "-q", reg+"/pulled")
		b.must("FROM BASE\nRUN echo second >/which\n", "-o", "type=registry,store=false,name="+reg+"/pulled")
		b.has(b.must("FROM "+reg+"/pulled\nRUN cat /which && echo one\n", "--no-cache"), "first")
		b.has(b.must("FROM "+reg+"/pulled\nRUN cat /which && echo two\n", "--no-cache", "--pull"), "second")
	},
	"push": func(b building) {
		reg := pushTarget(b.T)
		b.must("FROM BASE\nLABEL a=pushed\n", "-t", reg+"/pushed:1", "--push")
		b.e.Must(b, "pull", "-q", reg+"/pushed:1")
		b.refused("pushing the result: it has no name", "FROM BASE\n", "--push")
		b.refused("cannot be reached", "FROM BASE\n", "--push", "-t", "localhost:1/x")
	},
	"quiet": func(b building) {
		r := b.build("FROM BASE\nLABEL a=quiet\n", "-q", "-t", "flag-quiet")
		if !strings.HasPrefix(r.Out, "sha256:") || strings.Count(r.Out, "\n") != 1 || r.Err != "" {
			b.Errorf("it says %q and %q", r.Out, r.Err)
		}
	},
	"resource": func(b building) {
		b.has(b.must(limit("memory/memory.limit_in_bytes", "memory.max"), "--no-cache", "--resource", "memory=160m"), "167772160")
		b.refused("there is no such limit", "FROM BASE\n", "--resource", "nope=1")
	},
	"rm":   sameAsWithout("--rm=false"),
	"sbom": billOfMaterials,
	"secret": func(b building) {
		path := b.file("token", "s3cret")
		dockerfile := "FROM BASE\nRUN --mount=type=secret,id=one,required=true --mount=type=secret,id=two,env=TWO,required=true test \"$(cat /run/secrets/one)$TWO\" = s3crets3cret\n"
		e := *b.e
		e.Env = append(slices.Clone(e.Env), "SECRET_TWO=s3cret")
		other := b
		other.e = &e
		other.must(dockerfile, "--secret", "id=one,src="+path, "--secret", "id=two,env=SECRET_TWO")
		b.refused("the secret one: reading /nope: no such file or directory", dockerfile, "--secret", "id=one,src=/nope")
		b.refused("Dockerfile:2: the step needs the secret three, which was not supplied\nhint: --secret id=three,src=FILE",
			"FROM BASE\nRUN --mount=type=secret,id=three,required=true true\n")
	},
	"security-opt": func(b building) {
		b.has(b.must("FROM BASE\n", "--security-opt", "x=y"), "warning: --security-opt means nothing")
	},
	"shm-size": func(b building) {
		b.must("FROM BASE\nRUN df -k /dev/shm | grep -q ' 24576 '\n", "--shm-size", "24m")
	},
	"source-policy-file": func(b building) {
		path := b.file("policy.json", `{"rules":[{"action":"DENY","selector":{"identifier":"docker-image://*"}}]}`)
		b.refused("denied by policy", "FROM BASE\n", "--source-policy-file", path)
	},
	"squash": func(b building) {
		b.has(b.must("FROM BASE\n", "--squash"), "warning: --squash means nothing")
	},
	"ssh": func(b building) {
		sock := sshAgent(b.T)
		dockerfile := "FROM BASE\nRUN --mount=type=ssh,required=true test -S \"$SSH_AUTH_SOCK\"\n"
		b.must(dockerfile, "--ssh", "default="+sock)
		e := *b.e
		e.Env = append(slices.Clone(e.Env), "SSH_AUTH_SOCK="+sock)
		other := b
		other.e = &e
		other.must(dockerfile, "--no-cache", "--ssh", "default")
		b.refused(`the SSH agent "default" is needed, and was not supplied`, dockerfile, "--no-cache")
	},
	"tag": func(b building) {
		b.must("FROM BASE\nLABEL a=tag\n", "-t", "flag-tag", "-t", "flag-tag:two", "--tag=other.example/flag-tag")
		for _, name := range []string{"flag-tag:latest", "flag-tag:two", "other.example/flag-tag:latest"} {
			b.e.Must(b, "run", "--rm", "--network=none", name, "true")
		}
		b.refused(`--tag "UPPER": invalid reference format`, "FROM BASE\n", "-t", "UPPER")
	},
	"target": func(b building) {
		b.must("FROM BASE AS good\nFROM BASE AS bad\nRUN false\n", "--target", "good")
		b.refused(`Dockerfile has no stage "nope"`+"\nhint: it has good, bad", "FROM BASE AS good\nFROM BASE AS bad\n", "--target", "nope")
	},
	"ulimit": func(b building) {
		b.must("FROM BASE\nRUN test $(ulimit -Sn)/$(ulimit -Hn) = 321/432\n", "--ulimit", "nofile=321:432")
	},
}

// Every flag that docker's or nerdctl's build has does here what it does there.
func TestBuildFlags(t *testing.T) {
	e := lab.Shared(t)
	base := e.Busybox(t)
	for _, f := range build.Flags {
		t.Run(f.Name, func(t *testing.T) {
			test := flagTests[f.Name]
			if test == nil {
				t.Fatalf("--%s (%s) has no test: what does it do?", f.Name, f.From)
			}
			test(building{T: t, e: e, base: base, dir: t.TempDir()})
		})
	}
	for name := range flagTests {
		if !slices.ContainsFunc(build.Flags, func(f build.Flag) bool { return f.Name == name }) {
			t.Errorf("--%s is no flag any more", name)
		}
	}
}

// sameAsWithout tests a flag that is taken and means nothing: the same result comes out.
func sameAsWithout(flag string) func(building) {
	return func(b building) {
		without := b.build("FROM BASE\nLABEL a=same\n", "-q")
		with := b.build("FROM BASE\nLABEL a=same\n", "-q", flag)
		if with.Code != 0 || with.Out != without.Out {
			b.Errorf("with it %d %q %s, without %q", with.Code, with.Out, with.Err, without.Out)
		}
	}
}

// state is how plain progress shows the end of a step.
func state(text, step string) string {
	lines := strings.Split(text, "\n")
	for _, line := range lines {
		number, rest, _ := strings.Cut(line, " ")
		if !strings.Contains(rest, step) {
			continue
		}
		for _, l := range lines {
			if got, ok := strings.CutPrefix(l, number+" "); ok && (got == "CACHED" || strings.HasPrefix(got, "DONE")) {
				return got
			}
		}
	}
	return ""
}

func cacheBothWays(b building) {
	cache := filepath.Join(b.dir, "..", "cache")
	dockerfile := "FROM BASE\nRUN echo cache-both-ways\n"
	reg := pushTarget(b.T)
	for _, kind := range []string{"type=local,%=" + cache, "type=registry,ref=" + reg + "/cache"} {
		b.must(dockerfile, "--no-cache", "--cache-to", strings.Replace(kind, "%", "dest", 1)+",mode=max")
		b.e.Must(b, "builder", "prune", "--all", "--force")
		if text := b.must(dockerfile, "--cache-from", strings.Replace(kind, "%", "src", 1)); state(text, "RUN echo cache-both-ways") != "CACHED" {
			b.Errorf("%s: not cached:\n%s", kind, text)
		}
	}
	// Inline: in the image itself.
	b.must(dockerfile, "--no-cache", "--cache-to", "type=inline", "-t", reg+"/inline", "--push")
	b.e.Must(b, "builder", "prune", "--all", "--force")
	if text := b.must(dockerfile, "--cache-from", reg+"/inline"); state(text, "RUN echo cache-both-ways") != "CACHED" {
		b.Errorf("inline: not cached:\n%s", text)
	}
	b.must(dockerfile, "--cache-from", "type=local,src="+filepath.Join(b.dir, "none-yet"))
}

func outputs(b building) {
	dockerfile := "FROM scratch\nCOPY <<EOF /sub/file\nhello\nEOF\n"
	out := filepath.Join(b.dir, "..", "out")
	for _, value := range []string{out, "type=local,dest=" + out} {
		b.must(dockerfile, "--output", value)
		if got := read(b.T, filepath.Join(out, "sub", "file")); got != "hello\n" {
			b.Errorf("%s: %q", value, got)
		}
		if err := os.RemoveAll(out); err != nil {
			b.Fatal(err)
		}
	}
	for _, kind := range []string{"tar", "oci", "docker"} {
		b.must(dockerfile, "-o", "type="+kind+",dest="+out+".tar", "-t", "flag-output-"+kind)
		if text := read(b.T, out+".tar"); len(text)%512 != 0 || len(text) == 0 {
			b.Errorf("%s: %d bytes are no tar archive", kind, len(text))
		}
	}
	b.e.Must(b, "load", "-q", "-i", out+".tar")
	b.e.Must(b, "image", "inspect", "flag-output-docker")
	if r := b.build(dockerfile, "-o", "-"); !strings.Contains(r.Out, "sub/file") {
		b.Errorf("-o - wrote %d bytes and %s", len(r.Out), r.Err)
	}
	b.must(dockerfile, "-o", "type=image,name=flag-output-image", "-o", "type=local,dest="+out)
	b.e.Must(b, "image", "inspect", "flag-output-image")
	read(b.T, filepath.Join(out, "sub", "file"))
	if r := b.build(dockerfile, "-o", "type=cacheonly", "-t", "flag-output-none"); r.Code != 0 || b.e.Run(b, "image", "inspect", "flag-output-none").Code == 0 {
		b.Errorf("cacheonly: %+v", r)
	}
	// Reproducible, and yet unpacked.
	var ids []string
	for range 2 {
		r := b.build("FROM BASE\nRUN date +%N >/now && rm /now && touch /file\n", "-q", "--no-cache", "-t", "flag-output-repro", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-o", "type=image,rewrite-timestamp=true")
		ids = append(ids, r.Out+r.Err)
	}
	if ids[0] != ids[1] || !strings.HasPrefix(ids[0], "sha256:") {
		b.Errorf("not reproducible: %q", ids)
	}
	if got := b.e.Must(b, "run", "--rm", "--network=none", "flag-output-repro", "stat", "-c", "%Y", "/file"); got != "1700000000" {
		b.Errorf("the file is of %s", got)
	}
}

func billOfMaterials(b building) {
	scanner := b
	scanner.dir = b.TempDir()
	scanner.file("scan", `#!/bin/sh
cat >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json <<EOF
{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","name":"by the test's scanner"}}
EOF
`)
	scanner.must("FROM BASE\nCOPY --chmod=755 scan /scan\nCMD [\"/scan\"]\n", "-t", "flag-scanner")
	b.has(b.layout("FROM BASE\nRUN true\n", "--sbom", "generator=docker.io/library/flag-scanner"), "by the test's scanner")
	if text := b.layout("FROM BASE\n", "--sbom=false"); strings.Contains(text, "spdx") {
		b.Error("it is there though it was not wanted")
	}
}

func link(t *testing.T, path string) string {
	t.Helper()
	target, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// pushTarget is a registry that takes everything, on an address that needs no TLS.
func pushTarget(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// sshAgent is an agent with one key.
func sshAgent(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key, Comment: "test"}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ssh-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keyring, conn) }()
		}
	}()
	return l.Addr().String()
}

//go:build e2e

package builds

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// limit prints a step's control group file, of version 1 or 2. The cache does not go by
// limits.
func limit(one, two string) string {
	return "FROM BASE\nRUN cat /sys/fs/cgroup/" + one + " /sys/fs/cgroup/" + two + " 2>/dev/null; true\n"
}

// flagCases are a case per flag: it observes on the real engine what the flag does.
var flagCases = map[string]func(building){
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
		b.has(b.with("HERE=from here").must("FROM BASE\nARG A\nARG HERE\nARG GONE=default\nRUN echo \"<$A|$HERE|$GONE>\"\n", "--no-cache", "--build-arg", "A=b c", "--build-arg", "HERE", "--build-arg", "GONE"), "<b c|from here|default>")
	},
	"build-context": func(b building) {
		other := b.TempDir()
		if err := os.WriteFile(filepath.Join(other, "f"), []byte("other"), 0o644); err != nil {
			b.Fatal(err)
		}
		layout := filepath.Join(b.TempDir(), "layout")
		b.must("FROM scratch\nCOPY --from=other f /f\n", "--build-context", "other="+other, "--output", "type=oci,tar=false,dest="+layout)
		b.must("FROM img\nCOPY --from=l /f /f\nRUN grep other /f\n", "--build-context", "img=docker-image://"+b.Base, "--build-context", "l=oci-layout://"+layout)
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
		// A step may have a namespace of control groups, in which it does not see its own group's name.
		parent := fmt.Sprintf("linnet-test-%d", time.Now().UnixNano())
		b.must("FROM BASE\nRUN true\n", "--no-cache", "--cgroup-parent", "/"+parent)
		if b.Inside(b.T, "find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", parent) == "" {
			b.Errorf("there is no control group %s", parent)
		}
		b.Inside(b.T, "find", "/sys/fs/cgroup", "-depth", "-path", "*/"+parent+"*", "-type", "d", "-delete")
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
		// Of control groups of version 2 the weight is 59, or was 20 by runc's former formula.
		if !regexp.MustCompile(`(?m)^#\d+ [\d.]+ (512|59|20)$`).MatchString(text) {
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
		other := b.file("sub/other.Dockerfile", "FROM "+b.Base+"\nCOPY here /here\nRUN grep yes /here\n")
		b.file("sub/other.Dockerfile.dockerignore", "left\n")
		b.file("here", "yes")
		b.Engine.Must(b, "build", "-q", "-f", other, b.dir)
		if r := b.Engine.RunIn(b, strings.NewReader("FROM "+b.Base+"\nCOPY here /here\n"), "build", "-q", "-f", "-", b.dir); r.Code != 0 {
			b.Errorf("-f -: %s", r.Err)
		}
		// linnet itself fetches it, on this host.
		server := httptest.NewServer(http.FileServer(http.Dir(b.dir)))
		defer server.Close()
		b.Engine.Must(b, "build", "-q", "-f", server.URL+"/sub/other.Dockerfile", b.dir)
	},
	"force-rm": sameAsWithout("--force-rm"),
	"iidfile": func(b building) {
		path := filepath.Join(b.dir, "id")
		b.must("FROM BASE\nLABEL a=iid\n", "--iidfile", path, "-t", "flag-iid")
		b.has(b.Engine.Must(b, "images", "--no-trunc", "--format", "{{.Digest}}", "flag-iid"), b.read(path))
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
		b.has(b.Engine.Must(b, "image", "inspect", "--format", "{{json .Config.Labels}}", "flag-label"), `"a":"b"`, `"c":""`)
	},
	"load": func(b building) {
		b.must("FROM BASE\n", "--load", "-t", "flag-load")
		b.Engine.Must(b, "run", "--rm", "--network=none", "flag-load", "true")
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
		if err := json.Unmarshal([]byte(b.read(path)), &got); err != nil {
			b.Fatal(err)
		}
		if got.Digest == "" || got.Descriptor.Digest != got.Digest || got.Name != "docker.io/library/flag-meta:latest" {
			b.Errorf("it says %+v", got)
		}
	},
	"network": func(b building) {
		b.must("FROM BASE\nRUN test $(ls /sys/class/net | wc -l) = 1\n", "--network", "none")
		b.refused("hint: add --allow network.host", "FROM BASE\n", "--network", "host")
		b.has(b.must("FROM BASE\nRUN readlink /proc/self/ns/net\n", "--network", "host", "--allow", "network.host"), b.Inside(b.T, "readlink", "/proc/self/ns/net"))
		b.refused(`there is no such network for builds`, "FROM BASE\n", "--network", "nope")
	},
	"no-cache": func(b building) {
		b.must("FROM BASE\nRUN echo no-cache\n")
		b.has(b.must("FROM BASE\nRUN echo no-cache\n"), "CACHED")
		if text := b.must("FROM BASE\nRUN echo no-cache\n", "--no-cache"); StepState(text, "RUN echo no-cache") == "CACHED" {
			b.Errorf("the step was cached:\n%s", text)
		}
	},
	"no-cache-filter": func(b building) {
		dockerfile := "FROM BASE AS one\nRUN echo filter-one >/one\nFROM BASE AS two\nRUN echo filter-two >/two\nFROM BASE\nCOPY --from=one /one /\nCOPY --from=two /two /\n"
		b.must(dockerfile)
		text := b.must(dockerfile, "--no-cache-filter", "two")
		if one, two := StepState(text, "RUN echo filter-one"), StepState(text, "RUN echo filter-two"); one != "CACHED" || two == "CACHED" {
			b.Errorf("one is %s and two is %s", one, two)
		}
	},
	"output": outputs,
	"platform": func(b building) {
		b.must("FROM scratch\nARG TARGETARCH\nCOPY <<EOF /$TARGETARCH\nEOF\n", "--platform", "linux/amd64,linux/arm64", "-t", "flag-platform")
		if got := b.Engine.Must(b, "images", "--format", "{{.Platform}}", "flag-platform"); !strings.Contains(got, "linux/arm64") || !strings.Contains(got, "linux/amd64") {
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
		reg := b.repositories()
		b.must("FROM BASE\nRUN echo first >/which\n", "-t", reg+"/pulled", "--push")
		b.Engine.Must(b, "pull", "-q", reg+"/pulled")
		b.must("FROM BASE\nRUN echo second >/which\n", "-o", "type=registry,store=false,name="+reg+"/pulled")
		b.has(b.must("FROM "+reg+"/pulled\nRUN cat /which && echo one\n", "--no-cache"), "first")
		b.has(b.must("FROM "+reg+"/pulled\nRUN cat /which && echo two\n", "--no-cache", "--pull"), "second")
	},
	"push": func(b building) {
		reg := b.repositories()
		b.must("FROM BASE\nLABEL a=pushed\n", "-t", reg+"/pushed:1", "--push")
		b.Engine.Must(b, "pull", "-q", reg+"/pushed:1")
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
		b.with("SECRET_TWO=s3cret").must(dockerfile, "--secret", "id=one,src="+path, "--secret", "id=two,env=SECRET_TWO")
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
		sock := SSHAgent(b.T)
		dockerfile := "FROM BASE\nRUN --mount=type=ssh,required=true test -S \"$SSH_AUTH_SOCK\"\n"
		b.must(dockerfile, "--ssh", "default="+sock)
		b.with("SSH_AUTH_SOCK="+sock).must(dockerfile, "--no-cache", "--ssh", "default")
		b.refused(`the SSH agent "default" is needed, and was not supplied`, dockerfile, "--no-cache")
	},
	"tag": func(b building) {
		b.must("FROM BASE\nLABEL a=tag\n", "-t", "flag-tag", "-t", "flag-tag:two", "--tag=other.example/flag-tag")
		for _, name := range []string{"flag-tag:latest", "flag-tag:two", "other.example/flag-tag:latest"} {
			b.Engine.Must(b, "run", "--rm", "--network=none", name, "true")
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

//go:build e2e

package builds

import (
	"os"
	"path/filepath"
	"strings"
)

func outputs(b building) {
	dockerfile := "FROM scratch\nCOPY <<EOF /sub/file\nhello\nEOF\n"
	out := filepath.Join(b.dir, "..", "out")
	for _, value := range []string{out, "type=local,dest=" + out} {
		b.must(dockerfile, "--output", value)
		if got := b.read(filepath.Join(out, "sub", "file")); got != "hello\n" {
			b.Errorf("%s: %q", value, got)
		}
		if err := os.RemoveAll(out); err != nil {
			b.Fatal(err)
		}
	}
	for _, kind := range []string{"tar", "oci", "docker"} {
		b.must(dockerfile, "-o", "type="+kind+",dest="+out+".tar", "-t", "flag-output-"+kind)
		if text := b.read(out + ".tar"); len(text)%512 != 0 || len(text) == 0 {
			b.Errorf("%s: %d bytes are no tar archive", kind, len(text))
		}
	}
	b.Engine.Must(b, "load", "-q", "-i", out+".tar")
	b.Engine.Must(b, "image", "inspect", "flag-output-docker")
	if r := b.build(dockerfile, "-o", "-"); !strings.Contains(r.Out, "sub/file") {
		b.Errorf("-o - wrote %d bytes and %s", len(r.Out), r.Err)
	}
	b.must(dockerfile, "-o", "type=image,name=flag-output-image", "-o", "type=local,dest="+out)
	b.Engine.Must(b, "image", "inspect", "flag-output-image")
	b.read(filepath.Join(out, "sub", "file"))
	if r := b.build(dockerfile, "-o", "type=cacheonly", "-t", "flag-output-none"); r.Code != 0 || b.Engine.Run(b, "image", "inspect", "flag-output-none").Code == 0 {
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
	if got := b.Engine.Must(b, "run", "--rm", "--network=none", "flag-output-repro", "stat", "-c", "%Y", "/file"); got != "1700000000" {
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

func cacheBothWays(b building) {
	cache := filepath.Join(b.dir, "..", "cache")
	dockerfile := "FROM BASE\nRUN echo cache-both-ways\n"
	reg := b.repositories()
	for _, kind := range []string{"type=local,%=" + cache, "type=registry,ref=" + reg + "/cache"} {
		b.must(dockerfile, "--no-cache", "--cache-to", strings.Replace(kind, "%", "dest", 1)+",mode=max")
		b.Engine.Must(b, "builder", "prune", "--all", "--force")
		if text := b.must(dockerfile, "--cache-from", strings.Replace(kind, "%", "src", 1)); StepState(text, "RUN echo cache-both-ways") != "CACHED" {
			b.Errorf("%s: not cached:\n%s", kind, text)
		}
	}
	// Inline: in the image itself.
	b.must(dockerfile, "--no-cache", "--cache-to", "type=inline", "-t", reg+"/inline", "--push")
	b.Engine.Must(b, "builder", "prune", "--all", "--force")
	if text := b.must(dockerfile, "--cache-from", reg+"/inline"); StepState(text, "RUN echo cache-both-ways") != "CACHED" {
		b.Errorf("inline: not cached:\n%s", text)
	}
	b.must(dockerfile, "--cache-from", "type=local,src="+filepath.Join(b.dir, "none-yet"))
}

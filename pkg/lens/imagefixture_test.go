package lens_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/images"
)

// An image of a fixture is a file of lines:
//
//	config {"User": "app"}            the configuration's config; `arch arm64` is its architecture
//	layer COPY . .                    a layer, and what made it; `empty ENV A=b` is an entry of the history without one
//	usr/bin/tool 4755 120000          a file of the layer with mode and size, filled with its name
//	a/b 0644 zeros 9000               a file with no more than zeros
//	etc/key 0600 "text"               a file with a text, in Go's syntax; {{NAME}} is a secret that is put together here
//	bin/app 0755 elf amd64 LOADER     a program; without LOADER it is a static one
//	bin -> usr/bin                    a symbolic link; usr/tmp/ 0777 is a directory
//	- etc/key                         the layer removes it
//	provenance {"TOKEN": "x"} 1:3 2:7 build arguments, and the lines of layers; sbom is a line of its own
type fixtureImage struct {
	config     string
	arch       string
	layers     []*bytes.Buffer
	history    []map[string]any
	arguments  string
	lines      map[int]int
	provenance bool
	sbom       bool
	pack       string
}

// planted are secrets for fixtures. They are put together, since none may stand in a file.
func planted(text string) string {
	letters := strings.Repeat("Ab3dEf6hIj", 10)
	return strings.NewReplacer(
		"{{github}}", "ghp_"+letters[:36], "{{aws}}", "AKIA"+strings.ToUpper(letters[:16]), "{{npm}}", "npm_"+letters[:36], "{{slack}}", "xoxb-"+letters[:24],
		"{{key}}", "-----BEGIN RSA PRIVATE"+" KEY-----\n"+letters[:64]+"\n", "{{password}}", "hunter2"+letters[:6],
	).Replace(text)
}

func parseFixture(t *testing.T, text string) *fixtureImage {
	t.Helper()
	f := &fixtureImage{config: "{}", arch: "amd64", lines: map[int]int{}}
	var tw *tar.Writer
	end := func() {
		if tw != nil {
			check(t, tw.Close())
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		line = planted(line)
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "":
		case "config":
			f.config = rest
		case "arch":
			f.arch = rest
		case "pack":
			f.pack = rest
		case "sbom":
			f.sbom = true
		case "empty":
			f.history = append(f.history, map[string]any{"created_by": rest, "empty_layer": true})
		case "provenance":
			f.provenance = true
			f.arguments, rest, _ = strings.Cut(rest, "} ")
			f.arguments = strings.TrimSuffix(f.arguments, "}") + "}"
			for _, pair := range strings.Fields(rest) {
				layer, line, _ := strings.Cut(pair, ":")
				f.lines[number(t, layer)] = number(t, line)
			}
		case "layer":
			end()
			b := &bytes.Buffer{}
			f.layers, tw = append(f.layers, b), tar.NewWriter(b)
			f.history = append(f.history, map[string]any{"created_by": rest})
		default:
			putEntry(t, tw, line)
		}
	}
	end()
	return f
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	check(t, err)
	return n
}

func putEntry(t *testing.T, tw *tar.Writer, line string) {
	t.Helper()
	h, text := &tar.Header{Mode: 0o755}, []byte(nil)
	name, rest, _ := strings.Cut(line, " ")
	if gone, ok := strings.CutPrefix(line, "- "); ok {
		h.Typeflag, h.Name, h.Mode = tar.TypeReg, filepath.Join(filepath.Dir(gone), ".wh."+filepath.Base(gone)), 0o644
	} else if to, ok := strings.CutPrefix(rest, "-> "); ok {
		h.Typeflag, h.Name, h.Linkname = tar.TypeSymlink, name, to
	} else {
		mode, what, _ := strings.Cut(rest, " ")
		m, err := strconv.ParseInt(mode, 8, 32)
		check(t, err)
		h.Name, h.Mode, h.Typeflag = name, m, tar.TypeReg
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		what, capable := strings.CutSuffix(what, " capable")
		if capable {
			h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "x"}
		}
		text = fixtureText(t, name, what)
	}
	h.Size = int64(len(text))
	check(t, tw.WriteHeader(h))
	_, err := tw.Write(text)
	check(t, err)
}

func fixtureText(t *testing.T, name, what string) []byte {
	t.Helper()
	if kind, ok := strings.CutPrefix(what, "elf "); ok {
		arch, loader, _ := strings.Cut(kind, " ")
		return program(map[string]byte{"amd64": 62, "arm64": 183}[arch], loader)
	}
	if strings.HasPrefix(what, `"`) {
		text, err := strconv.Unquote(strings.ReplaceAll(what, "\n", "\\n"))
		check(t, err)
		return []byte(text)
	}
	if what == "" {
		return nil
	}
	if n, ok := strings.CutPrefix(what, "zeros "); ok {
		return make([]byte, number(t, n))
	}
	return bytes.Repeat([]byte(name+"\n"), 1+number(t, what)/(len(name)+1))[:number(t, what)]
}

// program is the head of a 64-bit ELF file with one program header.
func program(machine byte, loader string) []byte {
	b := make([]byte, 200+len(loader)+1)
	copy(b, "\x7fELF\x02\x01\x01")
	b[18] = machine
	b[32], b[54], b[56] = 64, 56, 1
	if loader != "" {
		b[64], b[64+8], b[64+32] = 3, 200, byte(len(loader)+1)
		copy(b[200:], loader)
	}
	return b
}

// packed is a layer as its manifest has it.
func (f *fixtureImage) packed(t testing.TB, plain []byte) (text []byte, kind string) {
	t.Helper()
	var b bytes.Buffer
	switch f.pack {
	case "none":
		return plain, "tar"
	case "zstd":
		w, err := zstd.NewWriter(&b)
		check(t, err)
		_, err = w.Write(plain)
		check(t, err)
		check(t, w.Close())
		return b.Bytes(), "tar+zstd"
	}
	w := gzip.NewWriter(&b)
	_, err := w.Write(plain)
	check(t, err)
	check(t, w.Close())
	return b.Bytes(), "tar+gzip"
}

// write makes an image layout of it in a directory.
func (f *fixtureImage) write(t testing.TB, dir string) {
	t.Helper()
	blob := func(kind string, text []byte, more map[string]any) map[string]any {
		sum := sha256.Sum256(text)
		name := hex.EncodeToString(sum[:])
		check(t, os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, "blobs", "sha256", name), text, 0o644))
		d := map[string]any{"mediaType": kind, "digest": "sha256:" + name, "size": len(text)}
		for k, v := range more {
			d[k] = v
		}
		return d
	}
	asJSON := func(v any) []byte {
		text, err := json.Marshal(v)
		check(t, err)
		return text
	}
	const oci = "application/vnd.oci.image."
	layers, locations, steps := []any{}, map[string]any{}, map[string]any{}
	for n, l := range f.layers {
		text, kind := f.packed(t, l.Bytes())
		d := blob(oci+"layer.v1."+kind, text, nil)
		layers = append(layers, d)
		if line := f.lines[n+1]; line > 0 {
			step := fmt.Sprintf("step%d", n)
			at := map[string]any{"line": line}
			locations[step] = map[string]any{"locations": []any{map[string]any{"ranges": []any{map[string]any{"start": at, "end": at}}}}}
			steps[step+":0"] = []any{[]any{d}}
		}
	}
	config := blob(oci+"config.v1+json", asJSON(map[string]any{"os": "linux", "architecture": f.arch, "config": json.RawMessage(f.config), "history": f.history}), nil)
	image := blob(oci+"manifest.v1+json", asJSON(map[string]any{"config": config, "layers": layers}), map[string]any{"platform": map[string]any{"os": "linux", "architecture": f.arch}})
	all := []any{image}
	var statements []any
	if f.provenance {
		args := map[string]string{}
		check(t, json.Unmarshal([]byte(f.arguments), &args))
		request := map[string]string{}
		for k, v := range args {
			request["build-arg:"+k] = v
		}
		statement := map[string]any{"predicate": map[string]any{
			"buildDefinition": map[string]any{"externalParameters": map[string]any{"request": map[string]any{"args": request}}},
			"runDetails":      map[string]any{"metadata": map[string]any{"buildkit_metadata": map[string]any{"source": map[string]any{"locations": locations, "infos": []any{map[string]any{"filename": "Dockerfile"}}}, "layers": steps}}},
		}}
		statements = append(statements, blob("application/vnd.in-toto+json", asJSON(statement), map[string]any{"annotations": map[string]any{"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}}))
	}
	if f.sbom {
		statements = append(statements, blob("application/vnd.in-toto+json", []byte("{}"), map[string]any{"annotations": map[string]any{"in-toto.io/predicate-type": "https://spdx.dev/Document"}}))
	}
	if statements != nil {
		all = append(all, blob(oci+"manifest.v1+json", asJSON(map[string]any{"config": config, "layers": statements}), map[string]any{
			"platform":    map[string]any{"os": "unknown", "architecture": "unknown"},
			"annotations": map[string]any{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image["digest"]},
		}))
	}
	check(t, os.WriteFile(filepath.Join(dir, "index.json"), asJSON(map[string]any{"schemaVersion": 2, "manifests": all}), 0o644))
}

// imageOf are the findings in an image of a fixture: "bad/image", with "bad/lens.yaml" as the project's word.
func imageOf(t *testing.T, archive *txtar.Archive, prefix string) (all []lens.Finding) {
	t.Helper()
	config := lens.Defaults(today)
	var err error
	for _, f := range archive.Files {
		if f.Name == prefix+"/lens.yaml" {
			config, err = lens.ReadConfig("lens.yaml", string(f.Data), today)
			check(t, err)
		}
	}
	for _, f := range archive.Files {
		if !strings.HasPrefix(f.Name, prefix+"/image") {
			continue
		}
		dir := t.TempDir()
		parseFixture(t, string(f.Data)).write(t, dir)
		i, err := images.FromPath(t.Context(), dir, nil, "", images.Platform{})
		check(t, err)
		i.Name = "app:1"
		all = append(all, lens.RunImage(i, config)...)
	}
	return all
}

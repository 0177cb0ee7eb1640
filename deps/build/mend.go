package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/linnet-dev/linnet/deps"
)

// mendText is a mend with its text: what a job's key goes by.
type mendText struct {
	deps.Mend
	Text string
}

// leftOut takes a list of names of mends apart; each has to be one.
func leftOut(all []deps.Mend, list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.ContainsFunc(all, func(m deps.Mend) bool { return m.Name == name }) {
			return nil, &hintError{fmt.Errorf("no mend is called %q", name), "deps/mends.yaml lists them"}
		}
	}
	return names, nil
}

// mendsOf reads the mends of a component, without the ones that this run builds without.
func (b *builder) mendsOf(component string) ([]mendText, error) {
	var texts []mendText
	for _, m := range deps.MendsOf(b.mends, component) {
		if slices.Contains(b.without, m.Name) {
			continue
		}
		var text []byte
		if len(m.Edits) == 0 {
			var err error
			if text, err = os.ReadFile(filepath.Join(b.modules, "mends", m.Name, "mend.go")); err != nil {
				return nil, fmt.Errorf("reading the mend %s: %w", m.Name, err)
			}
		}
		texts = append(texts, mendText{m, string(text)})
	}
	return texts, nil
}

// mend makes a copy of a component's module below work, in which the modules that are mended are replaced by mended copies,
// and returns its directory. The replacements' paths are relative and name the mends, so that the programs are the same
// wherever they are built, and say what they were built with. Without mends that is the module's own directory.
func (b *builder) mend(ctx context.Context, j job, work string) (dir string, err error) {
	if len(j.mends) == 0 {
		return j.dir, nil
	}
	dir = filepath.Join(work, "module")
	if err := copyTree(j.dir, dir); err != nil {
		return "", err
	}
	for _, mends := range byModule(j.mends) {
		version, err := b.mendModule(ctx, j, dir, mends)
		if err != nil {
			return "", err
		}
		module := mends[0].Module
		if _, err := b.output(ctx, dir, "mod", "edit", "-replace="+module+"@"+version+"="+mendedPath(mends)); err != nil {
			return "", fmt.Errorf("mending %s: %w", module, err)
		}
	}
	return dir, nil
}

func byModule(all []mendText) [][]mendText {
	var groups [][]mendText
	for _, m := range all {
		i := slices.IndexFunc(groups, func(g []mendText) bool { return g[0].Module == m.Module })
		if i < 0 {
			groups = append(groups, []mendText{m})
		} else {
			groups[i] = append(groups[i], m)
		}
	}
	return groups
}

func mendedPath(mends []mendText) string {
	var plain []deps.Mend
	for _, m := range mends {
		plain = append(plain, m.Mend)
	}
	return deps.MendedPath(plain)
}

// mendModule copies a module into dir, which is a component's, and mends the copy.
func (b *builder) mendModule(ctx context.Context, j job, dir string, mends []mendText) (version string, err error) {
	from, version, err := b.verified(ctx, j.dir, mends[0].Module)
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, filepath.FromSlash(mendedPath(mends)))
	if err := copyTree(from, copied); err != nil {
		return "", err
	}
	for _, m := range mends {
		b.say("%s %s: mending %s (%s)", j.component.Name, j.component.Version, m.Function, m.Name)
		if err := applyMend(copied, m); err != nil {
			return "", err
		}
	}
	return version, nil
}

// verified is the directory of a module in Go's cache, whose content is what go.sum says, and its version.
func (b *builder) verified(ctx context.Context, dir, module string) (cached, version string, err error) {
	out, err := b.output(ctx, dir, "mod", "download", "-json", module)
	if err != nil {
		return "", "", fmt.Errorf("fetching %s: %w", module, err)
	}
	var m struct{ Dir, Version, Sum string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", "", fmt.Errorf("fetching %s: %w", module, err)
	}
	sum, err := dirhash.HashDir(m.Dir, module+"@"+m.Version, dirhash.Hash1)
	if err != nil {
		return "", "", fmt.Errorf("verifying %s: %w", module, err)
	}
	if sum != m.Sum {
		return "", "", &hintError{fmt.Errorf("verifying %s: %s was changed", module, m.Dir), "go clean -modcache"}
	}
	return m.Dir, m.Version, nil
}

// copyTree copies a directory. What it makes can be written to, unlike what lies in Go's cache.
func copyTree(from, to string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return filepath.WalkDir(to, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(name, 0o755)
	})
}

// applyMend mends the function in the copy of its module: with a text of ours in its package, or with edits.
func applyMend(module string, m mendText) error {
	file := filepath.Join(module, filepath.FromSlash(m.File))
	source, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("mend %s: %w", m.Name, err)
	}
	f, err := findFunction(source, m.Function)
	if err != nil {
		return fmt.Errorf("mend %s: %s: %w", m.Name, m.File, err)
	}
	if f.digest != m.SHA256 {
		return &hintError{
			fmt.Errorf("mend %s: %s in %s of %s is not the function that it was written for", m.Name, m.Function, m.File, m.Module),
			fmt.Sprintf("read what has changed there; then take the mend out of deps/mends.yaml, or put sha256: %s in", f.digest),
		}
	}
	if len(m.Edits) > 0 {
		edited, err := edit(string(source[f.begin:f.end]), m.Edits)
		if err != nil {
			return fmt.Errorf("mend %s: %w", m.Name, err)
		}
		return os.WriteFile(file, slices.Concat(source[:f.begin], []byte(edited), source[f.end:]), 0o644)
	}
	ours, err := mendSource(m, f)
	if err != nil {
		return fmt.Errorf("mend %s: %w", m.Name, err)
	}
	if err := os.WriteFile(file, slices.Concat(source[:f.name], []byte("unmended"), source[f.name:]), 0o644); err != nil {
		return err
	}
	added := filepath.Join(filepath.Dir(file), "linnet_mend_"+strings.ReplaceAll(m.Name, "-", "_")+".go")
	return os.WriteFile(added, ours, 0o644)
}

// edit changes pieces of a function's text, each of which has to stand there once.
func edit(text string, edits []deps.Edit) (string, error) {
	for _, e := range edits {
		if n := strings.Count(text, e.From); n != 1 {
			return "", fmt.Errorf("%q stands there %d times, not once", e.From, n)
		}
		text = strings.Replace(text, e.From, e.To, 1)
	}
	return text, nil
}

// mendSource is the text of a mend as it is added to the package, without the constraint that keeps it out of our own.
func mendSource(m mendText, of function) ([]byte, error) {
	text := []byte(m.Text)
	ours, err := findFunction(text, m.Function)
	if err != nil {
		return nil, fmt.Errorf("mend.go: %w", err)
	}
	if ours.packageName != of.packageName {
		return nil, fmt.Errorf("mend.go: package %s, and the function is in package %s", ours.packageName, of.packageName)
	}
	constraint := []byte("//go:build mend\n")
	if !bytes.HasPrefix(text, constraint) {
		return nil, errors.New("mend.go: the first line is not //go:build mend")
	}
	return text[len(constraint):], nil
}

// function is a declaration in a source: where it and its name begin and where it ends, and the digest of its text.
type function struct {
	begin, name, end    int
	digest, packageName string
}

func findFunction(source []byte, name string) (function, error) {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, "", source, parser.SkipObjectResolution)
	if err != nil {
		return function{}, err
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || functionName(f) != name || f.Body == nil {
			continue
		}
		at := func(p token.Pos) int { return positions.Position(p).Offset }
		begin, end := at(f.Type.Func), at(f.End())
		sum := sha256.Sum256(source[begin:end])
		return function{begin, at(f.Name.Pos()), end, hex.EncodeToString(sum[:]), file.Name.Name}, nil
	}
	return function{}, fmt.Errorf("no function is called %s", name)
}

// functionName is a function's name as mends.yaml writes it.
func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	switch t := f.Recv.List[0].Type.(type) {
	case *ast.StarExpr:
		if id, ok := t.X.(*ast.Ident); ok {
			return "(*" + id.Name + ")." + f.Name.Name
		}
	case *ast.Ident:
		return t.Name + "." + f.Name.Name
	}
	return ""
}

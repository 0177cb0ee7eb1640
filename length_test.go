package linnet_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// longFiles are those of more than 400 lines, each with what holds it together.
var longFiles = map[string]string{}

// A function of more than 60 lines, or a file of more than 400, has more than one thing to say. Generated code says so itself.
func TestNothingIsTooLong(t *testing.T) {
	const mostOfFunction, mostOfFile = 60, 400
	files := token.NewFileSet()
	for _, dir := range []string{".", "cmd", "config", "deps", "docs", "e2e", "installer", "pkg"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && dir == "." && path != "." {
				return cmp.Or(err, fs.SkipDir)
			}
			if !strings.HasSuffix(path, ".go") {
				return nil
			}
			file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil || ast.IsGenerated(file) {
				return err
			}
			lines := files.File(file.Pos()).LineCount()
			if _, known := longFiles[path]; known != (lines > mostOfFile) {
				t.Errorf("%s has %d lines, and %d are the most: split it, or keep longFiles up to date", path, lines, mostOfFile)
			}
			if strings.HasSuffix(path, "_test.go") {
				return nil // a table of cases is as long as it has to be
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok {
					if n := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; n > mostOfFunction {
						t.Errorf("%s: %s has %d lines, and %d are the most", path, f.Name.Name, n, mostOfFunction)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"

	"github.com/linnet-dev/linnet/deps"
)

// home is where the project is, and releases go below it.
const home = "https://github.com/linnet-dev/linnet"

// published is what a template is told of a release.
type published struct {
	// Name is the version, URL the address that its files are below, Home the project's.
	Name, URL, Home string
	Archives        []archived
}

// archived is an archive that was made.
type archived struct {
	Target       target
	File, SHA256 string
}

// system is the archives for one system, as a formula has them.
type system struct {
	Name     string
	Archives []archived
}

// Systems are the archives by system, in Homebrew's words.
func (p published) Systems() (all []system) {
	for _, name := range []string{"darwin", "linux"} {
		s := system{Name: map[string]string{"darwin": "macos", "linux": "linux"}[name]}
		for _, a := range p.Archives {
			if a.Target.OS == name {
				s.Archives = append(s.Archives, a)
			}
		}
		if len(s.Archives) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// Processor is the archive's, in Homebrew's words.
func (a archived) Processor() string {
	if a.Target.Arch == "arm64" {
		return "arm"
	}
	return "intel"
}

// render writes what carries the archives' digests: with it, a user need not trust where the archives come from.
func (d *dist) render(targets []target) error {
	p := published{Name: d.release.Name(), URL: home + "/releases/download/" + d.release.Version, Home: home}
	for _, t := range targets {
		sum, err := deps.Digest(filepath.Join(d.work, d.archiveName(t)))
		if err != nil {
			return err
		}
		p.Archives = append(p.Archives, archived{t, d.archiveName(t), sum})
	}
	return errors.Join(
		renderFile(filepath.Join(d.root, "installer", "install.sh.tmpl"), filepath.Join(d.work, "install.sh"), 0o755, p),
		renderFile(filepath.Join(d.root, "installer", "linnet.rb.tmpl"), filepath.Join(d.work, "linnet.rb"), 0o644, p),
	)
}

func renderFile(from, to string, mode fs.FileMode, p published) error {
	t, err := template.New(filepath.Base(from)).Option("missingkey=error").ParseFiles(from)
	if err != nil {
		return fmt.Errorf("reading %s: %w", from, err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, p); err != nil {
		return fmt.Errorf("rendering %s: %w", from, err)
	}
	return os.WriteFile(to, text.Bytes(), mode)
}

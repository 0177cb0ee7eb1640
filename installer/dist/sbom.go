package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/linnet-dev/linnet/deps"
)

// writeSBOM says, in CycloneDX's JSON, what an archive is made of: linnet with its modules, and each component with its licence, its
// modules and its mends, by what Go wrote into the programs.
func writeSBOM(name string, r release, parts []part, stage string) (err error) {
	mends, err := deps.Mends()
	if err != nil {
		return err
	}
	var ours []string
	for _, pattern := range []string{"bin/linnet*", "libexec/linnet/bin/linnet*"} {
		files, err := filepath.Glob(filepath.Join(stage, filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		ours = append(ours, files...)
	}
	linnet, err := component("linnet", r.Version, "github.com/linnet-dev/linnet", "Apache-2.0", ours)
	if err != nil {
		return err
	}
	components := []cdx.Component{linnet}
	for i, p := range parts {
		if i > 0 && parts[i-1].component.Name == p.component.Name {
			continue
		}
		var files []string
		for _, other := range parts[i:] {
			if other.component.Name == p.component.Name {
				files = append(files, other.from)
			}
		}
		c, err := component(p.component.Name, p.component.Version, p.component.Module, p.component.Licence, files)
		if err != nil {
			return err
		}
		if patches := patches(deps.MendsOf(mends, p.component.Name)); len(patches) > 0 {
			c.Pedigree = &cdx.Pedigree{Patches: &patches}
		}
		components = append(components, c)
	}
	bom := cdx.NewBOM()
	bom.Components = &components
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
}

func component(name, version, module, licence string, files []string) (cdx.Component, error) {
	var modules []cdx.Component
	for _, file := range files {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return cdx.Component{}, fmt.Errorf("%s: %w", name, err)
		}
		for _, d := range info.Deps {
			m := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: d.Path, Version: d.Version, PackageURL: purl(d.Path, d.Version)}
			if !slices.ContainsFunc(modules, func(have cdx.Component) bool { return have.PackageURL == m.PackageURL }) {
				modules = append(modules, m)
			}
		}
	}
	slices.SortFunc(modules, func(x, y cdx.Component) int { return strings.Compare(x.PackageURL, y.PackageURL) })
	return cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: name, Version: version, PackageURL: purl(module, version),
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: licence}}}, Components: &modules,
	}, nil
}

func patches(mends []deps.Mend) (all []cdx.Patch) {
	for _, m := range mends {
		all = append(all, cdx.Patch{Type: cdx.PatchTypeUnofficial, Resolves: &[]cdx.Issue{{
			Type: cdx.IssueTypeDefect, ID: m.Name, Name: m.Module + " " + m.Function, Description: m.Defect,
		}}})
	}
	return all
}

func purl(module, version string) string { return "pkg:golang/" + module + "@" + version }

package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/linnet-dev/linnet/deps"
)

// writeSBOM describes the components in a prefix in CycloneDX's JSON: each with its licence, the modules that went into its
// programs, and its mends as patches (pedigree).
func (b *builder) writeSBOM(w io.Writer, all []deps.Component) error {
	bom := cdx.NewBOM()
	var components []cdx.Component
	for _, c := range all {
		component := cdx.Component{
			Type: cdx.ComponentTypeApplication, Name: c.Name, Version: c.Version, PackageURL: purl(c.Module, c.Version),
			Licenses: &cdx.Licenses{{License: &cdx.License{ID: c.Licence}}},
		}
		modules, err := b.modulesOf(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		if len(modules) > 0 {
			component.Components = &modules
		}
		if patches := patchesOf(deps.MendsOf(b.mends, c.Name)); len(patches) > 0 {
			component.Pedigree = &cdx.Pedigree{Patches: &patches}
		}
		components = append(components, component)
	}
	bom.Components = &components
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
}

// modulesOf are the Go modules in a component's programs, as the programs themselves say.
func (b *builder) modulesOf(c deps.Component) ([]cdx.Component, error) {
	var modules []cdx.Component
	for _, p := range c.Programs {
		info, err := buildinfo.ReadFile(filepath.Join(b.prefix, filepath.FromSlash(p.File(b.goarch))))
		if err != nil {
			return nil, err
		}
		for _, d := range info.Deps {
			m := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: d.Path, Version: d.Version, PackageURL: purl(d.Path, d.Version)}
			if !slices.ContainsFunc(modules, func(have cdx.Component) bool { return have.PackageURL == m.PackageURL }) {
				modules = append(modules, m)
			}
		}
	}
	slices.SortFunc(modules, func(x, y cdx.Component) int { return strings.Compare(x.PackageURL, y.PackageURL) })
	return modules, nil
}

func patchesOf(mends []deps.Mend) []cdx.Patch {
	var patches []cdx.Patch
	for _, m := range mends {
		patches = append(patches, cdx.Patch{Type: cdx.PatchTypeUnofficial, Resolves: &[]cdx.Issue{{
			Type: cdx.IssueTypeDefect, ID: m.Name, Name: m.Module + " " + m.Function, Description: m.Defect,
		}}})
	}
	return patches
}

func purl(module, version string) string { return "pkg:golang/" + module + "@" + version }

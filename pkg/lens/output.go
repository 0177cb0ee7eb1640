package lens

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Text writes findings one a line, FILE:LINE: LEVEL ID MESSAGE. With fixes, as on a terminal, each has what to do on a line of its own,
// and an empty line stands between files.
func Text(w io.Writer, all []Finding, fixes bool) error {
	var b strings.Builder
	for i, f := range all {
		if fixes && i > 0 && all[i-1].File != f.File {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s %s %s\n", f.place(), f.Level, f.ID, f.Text)
		if fixes && f.Fix != "" {
			fmt.Fprintf(&b, "    fix: %s\n", f.Fix)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (f Finding) place() string {
	if f.Line == 0 {
		return f.File
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

// JSON writes findings as one document.
func JSON(w io.Writer, all []Finding) error {
	if all == nil {
		all = []Finding{}
	}
	return indented(w, map[string]any{"version": 1, "findings": all})
}

func indented(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// GitHub writes findings as the workflow commands that annotate a change.
// Source: GitHub's documentation, "Workflow commands for GitHub Actions".
func GitHub(w io.Writer, all []Finding) error {
	names := map[Level]string{Info: "notice", Warning: "warning", Error: "error"}
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var b strings.Builder
	for _, f := range all {
		file, line, end := f.source()
		fmt.Fprintf(&b, "::%s ", names[f.Level])
		if file != "" {
			fmt.Fprintf(&b, "file=%s,", property.Replace(filepath.ToSlash(file)))
		}
		if line > 0 {
			fmt.Fprintf(&b, "line=%d,endLine=%d,", line, end)
		}
		message := f.Text
		if f.Image != nil {
			message = f.File + ": " + message
		}
		if f.Fix != "" {
			message += "\nfix: " + f.Fix
		}
		fmt.Fprintf(&b, "title=%s::%s\n", property.Replace(f.ID), data.Replace(message))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// SARIF writes findings in the Static Analysis Results Interchange Format, version 2.1.0 (OASIS).
func SARIF(w io.Writer, all []Finding, version string) error {
	names := map[Level]string{Info: "note", Warning: "warning", Error: "error"}
	rules, at := []any{}, map[string]int{}
	results := []any{}
	for _, f := range all {
		if _, known := at[f.ID]; !known {
			at[f.ID] = len(rules)
			rules = append(rules, sarifRule(f))
		}
		message := f.Text
		if f.Fix != "" {
			message += ". Fix: " + f.Fix
		}
		results = append(results, map[string]any{
			"ruleId": f.ID, "ruleIndex": at[f.ID], "level": names[f.Level], "message": map[string]any{"text": message},
			"locations": []any{sarifLocation(f)},
		})
	}
	return indented(w, map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{
			"tool":    map[string]any{"driver": map[string]any{"name": "linnet", "version": version, "rules": rules}},
			"results": results,
		}},
	})
}

// sarifLocation is a place in a file; what is in an image has its name, and the Dockerfile's line where that is known.
func sarifLocation(f Finding) map[string]any {
	all := map[string]any{}
	if file, line, end := f.source(); file != "" {
		location := map[string]any{"artifactLocation": map[string]any{"uri": filepath.ToSlash(file)}}
		if line > 0 {
			location["region"] = map[string]any{"startLine": line, "endLine": end}
		}
		all["physicalLocation"] = location
	}
	if f.Image != nil {
		logical := map[string]any{"fullyQualifiedName": strings.TrimSuffix(f.File+"/"+f.Image.Path, "/"), "kind": "resource"}
		all["logicalLocations"] = []any{logical}
	}
	return all
}

// source is the file and the lines in it that a finding is about; an image's is its Dockerfile, "" where that is not known.
func (f Finding) source() (file string, line, end int) {
	if f.Image != nil {
		return f.Image.Dockerfile, f.Image.Line, f.Image.End
	}
	return f.File, f.Line, f.End
}

func sarifRule(f Finding) map[string]any {
	rule := map[string]any{"id": f.ID, "shortDescription": map[string]any{"text": f.ID}}
	if c := byID(f.ID); c != nil {
		rule["shortDescription"] = map[string]any{"text": c.Title}
		rule["fullDescription"] = map[string]any{"text": c.Why}
		if c.URL != "" {
			rule["helpUri"] = c.URL
		}
	} else if f.Doc != "" {
		rule["helpUri"] = f.Doc
	}
	if len(f.Questions) > 0 {
		rule["properties"] = map[string]any{"tags": f.Questions}
	}
	return rule
}

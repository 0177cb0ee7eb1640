// Package lens checks what images are made from against what good practice asks: each check is data, and a pure function of facts
// about a project. The questions are those of the AWS Well-Architected Container Build Lens (October 2022).
//
// The package reads no file and knows no engine: package gather collects the facts, package buildrules runs BuildKit's own rules.
package lens

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// Level is how much a finding matters.
type Level uint8

// Levels, weakest first. A check whose level is Off reports nothing.
const (
	Off Level = iota
	Info
	Warning
	Error
)

// levels are their names, in the order of their values.
var levels = []string{"off", "info", "warning", "error"}

func (l Level) String() string { return levels[l] }

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseLevel is the level of a name; false says that there is none.
func ParseLevel(name string) (Level, bool) {
	i := slices.Index(levels, name)
	return Level(max(i, 0)), i >= 0
}

// Finding is one thing that a check has found.
type Finding struct {
	// File is the path as the user sees it; Line and End count from 1, and are 0 for a file as a whole.
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	End  int    `json:"end,omitempty"`

	Level Level  `json:"level"`
	ID    string `json:"id"`
	Text  string `json:"message"`
	Fix   string `json:"fix,omitempty"`
	// Questions are the ids of the Lens's questions; a rule of BuildKit's may have none.
	Questions []string `json:"questions,omitempty"`
	// Doc is an address or a page of ours.
	Doc string `json:"documentation,omitempty"`
	// Image is where in an image it is: File is the image's name then, and Line that of no file.
	Image *Place `json:"image,omitempty"`
}

// found is a finding as a check reports it, before levels, ignores and the check's own data are applied.
type found struct {
	line, end int
	text      string
	// file is another one than the subject's; fix another one than the check's.
	file, fix string
	// level is another one than the check's; Off leaves it.
	level Level
	// place is where in an image it is.
	place *Place
}

// Check is one check: what it asks, why, and how it finds out. Exactly one of its functions is set, which says what it looks at.
type Check struct {
	ID, Title string
	Level     Level
	Questions []string
	// Practices are the rows of Practices that the check answers.
	Practices []string
	Why, Fix  string
	// URL is a page on it that others keep.
	URL string

	dockerfile func(*Dockerfile, *Config) []found
	context    func(*Context, *Config) []found
	compose    func(*Compose, *Config) []found
	image      func(*Image, *Config) []found
}

// LooksAt says what facts the check needs.
func (c *Check) LooksAt() string {
	switch {
	case c.dockerfile != nil:
		return "Dockerfile"
	case c.context != nil:
		return "build context"
	case c.image != nil:
		return "image"
	}
	return "compose file"
}

// Checks are all, in the order of the documentation.
func Checks() []*Check {
	return slices.Concat(baseChecks(), userChecks(), packageChecks(), cacheChecks(), copyChecks(), runtimeChecks(), stageChecks(), secretChecks(), contextChecks(), composeChecks(),
		imageSizeChecks(), imageFileChecks(), imageSecretChecks(), imageProgramChecks(), imageConfigChecks(), ownChecks())
}

// byID finds a check; nil says that there is none.
func byID(id string) *Check {
	for _, c := range Checks() {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// Project is the facts of a project.
type Project struct {
	Dockerfiles []*Dockerfile
	Contexts    []*Context
	Compose     []*Compose
}

// Run has all checks look at a project. Findings are ordered by file and line; ignored ones are left out.
func Run(p *Project, c *Config) []Finding {
	r := &run{config: c, used: map[int]bool{}}
	checks := Checks()
	for _, d := range p.Dockerfiles {
		for _, check := range checks {
			if check.dockerfile != nil && c.level(check) != Off {
				r.add(check, d.Name, d, check.dockerfile(d, c))
			}
		}
		r.rules(d)
	}
	for _, x := range p.Contexts {
		for _, check := range checks {
			if check.context != nil && c.level(check) != Off {
				all := check.context(x, c)
				for i := range all {
					all[i].line = x.Line
				}
				r.add(check, x.By.Name, x.By, all)
			}
		}
	}
	for _, s := range p.Compose {
		for _, check := range checks {
			if check.compose != nil && c.level(check) != Off {
				r.add(check, s.Name, nil, check.compose(s, c))
			}
		}
	}
	for _, d := range p.Dockerfiles {
		r.comments(d)
	}
	r.unused(func(c *Check) bool { return c == nil || c.image == nil })
	return sorted(r.findings)
}

// RunImage has all checks of images look at one. Findings are ordered by level, id and layer; ignored ones are left out.
func RunImage(i *Image, c *Config) []Finding {
	r := &run{config: c, used: map[int]bool{}}
	for _, check := range Checks() {
		if check.image == nil || c.level(check) == Off {
			continue
		}
		all := check.image(i, c)
		for n := range all {
			all[n].text = printable(all[n].text)
			if all[n].place == nil {
				all[n].place = &Place{}
			}
		}
		r.add(check, i.Name, nil, all)
	}
	r.unused(func(c *Check) bool { return c != nil && c.image != nil })
	return sortedOfImage(r.findings)
}

// sortedOfImage orders findings by level, id and layer.
func sortedOfImage(all []Finding) []Finding {
	layer := func(f Finding) int {
		if f.Image == nil {
			return 0
		}
		return f.Image.Layer
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(int(b.Level)-int(a.Level), strings.Compare(a.ID, b.ID), layer(a)-layer(b))
	})
	return all
}

// printable is a text without what a terminal acts upon: names in images can be anything.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' ' {
			return '?'
		}
		return r
	}, text)
}

// run collects findings.
type run struct {
	config   *Config
	findings []Finding
	used     map[int]bool // the ignores of the configuration that something was found for
}

func (r *run) add(check *Check, file string, d *Dockerfile, all []found) {
	for _, f := range all {
		level := r.config.level(check)
		if f.level != Off && r.config.Levels[check.ID] == nil {
			level = f.level
		}
		r.put(d, Finding{
			File: cmp.Or(f.file, file), Line: f.line, End: max(f.end, f.line), Level: level, ID: check.ID, Text: f.text,
			Fix: cmp.Or(f.fix, check.Fix), Questions: check.Questions, Doc: docPage + "#" + check.ID,
			Image: f.place,
		})
	}
}

// docPage is where the checks are documented.
const docPage = "docs/lens.md"

// put keeps a finding that is not ignored.
func (r *run) put(d *Dockerfile, f Finding) {
	if d != nil && d.ignores(f) || r.ignores(f) {
		return
	}
	r.findings = append(r.findings, f)
}

// sorted orders findings by file, line and id, each once.
func sorted(all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, int(b.Level)-int(a.Level), strings.Compare(a.ID, b.ID), strings.Compare(a.Text, b.Text))
	})
	return slices.CompactFunc(all, func(a, b Finding) bool {
		return a.File == b.File && a.Line == b.Line && a.ID == b.ID && a.Text == b.Text
	})
}

// Worst is the highest level among findings; Off without one.
func Worst(all []Finding) (worst Level) {
	for _, f := range all {
		worst = max(worst, f.Level)
	}
	return worst
}

package lens

import (
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// Dockerfile is the facts of one Dockerfile.
type Dockerfile struct {
	// Name is its path as the user sees it.
	Name  string
	Lines []string
	// Stages are in the order of the file; none where it cannot be parsed.
	Stages []Stage
	// Syntax is the frontend that `# syntax=` names, with its line.
	Syntax     string
	SyntaxLine int
	// Context is what it is built from; nil where that is not known.
	Context *Context
	// Targets are stages that something outside of the file names: a compose file's target.
	Targets []string
	// Health says that each service which is built from it has a health check of its own.
	Health bool
	// Rules are what BuildKit's own linter says.
	Rules []Rule

	skip     skips
	comments []*comment
}

// Rule is a finding of BuildKit's own linter.
type Rule struct {
	ID, Text, URL string
	Line, End     int
	// Failed says that a build would fail: it is no rule, but a mistake.
	Failed bool
}

// Stage is a stage of a Dockerfile.
type Stage struct {
	Name string
	// Line is that of its FROM.
	Line int
	// Base is the image, with the defaults of arguments in it; "" where an argument has no default. Raw is as it was written.
	Base, Raw string
	// Parent is the index of the stage that it begins with; -1 for an image.
	Parent int
	Steps  []Step
}

// Step is one instruction of a stage.
type Step struct {
	instructions.Command
	Line, End int
	// Script is what a RUN in the shell's form does; nil for what is none, or cannot be read.
	Script *Script
	// Mounts are those of a RUN.
	Mounts []*instructions.Mount
}

// Final is the stage that a build without a target makes; nil without one.
func (d *Dockerfile) Final() *Stage {
	if len(d.Stages) == 0 {
		return nil
	}
	return &d.Stages[len(d.Stages)-1]
}

// stage finds one by name or number; -1 says that there is none.
func (d *Dockerfile) stage(name string, before int) int {
	for i := range d.Stages[:before] {
		if name != "" && strings.EqualFold(d.Stages[i].Name, name) {
			return i
		}
	}
	for i := range d.Stages[:before] {
		if name == itoa(i) {
			return i
		}
	}
	return -1
}

// lineage is the stages that the final image has the layers of, by index.
func (d *Dockerfile) lineage() map[int]bool {
	in := map[int]bool{}
	for i := len(d.Stages) - 1; i >= 0; i = d.Stages[i].Parent {
		in[i] = true
	}
	return in
}

// imageSteps calls do for each step whose result is in the final image.
func (d *Dockerfile) imageSteps(do func(*Stage, *Step)) {
	in := d.lineage()
	for i := range d.Stages {
		if in[i] {
			for j := range d.Stages[i].Steps {
				do(&d.Stages[i], &d.Stages[i].Steps[j])
			}
		}
	}
}

// steps calls do for each step of each stage.
func (d *Dockerfile) steps(do func(*Stage, *Step)) {
	for i := range d.Stages {
		for j := range d.Stages[i].Steps {
			do(&d.Stages[i], &d.Stages[i].Steps[j])
		}
	}
}

// lineOf is the line of a step that has a text, and the step's first where none has.
func (d *Dockerfile) lineOf(s *Step, text string) int {
	for n := s.Line; n <= s.End && n <= len(d.Lines); n++ {
		if text != "" && strings.Contains(d.Lines[n-1], text) && !strings.HasPrefix(strings.TrimSpace(d.Lines[n-1]), "#") {
			return n
		}
	}
	return s.Line
}

// Context is the facts of one build context, as it is left by its .dockerignore.
type Context struct {
	// By is the Dockerfile that findings name: the first that is built from it, or that copies all of it, on that Line then.
	By   *Dockerfile
	Line int
	// Dir is the directory as the user sees it.
	Dir string
	// Ignored says that it has a .dockerignore that lists something.
	Ignored bool
	// Broad says that a COPY sends all of it.
	Broad bool
	// Files are those that would be sent, in the order of names.
	Files []File
	// Refused is why it should be no context at all: "your home directory"; it was not read then.
	Refused string

	// looked says that found has its sensitive files: several checks ask, and there are tens of thousands of files.
	looked bool
	found  []File
}

// File is a file of a context.
type File struct {
	Path string // with slashes, from the context
	Size int64  // bytes
	// Key says that it holds a private key. Only files for which MayBeKey is true are looked into.
	Key bool
}

// has reports whether a context has a file, or a directory, of that path.
func (x *Context) has(name string) bool {
	if x == nil {
		return false
	}
	name = path.Clean(name)
	for _, f := range x.Files {
		if f.Path == name || strings.HasPrefix(f.Path, name+"/") {
			return true
		}
	}
	return false
}

// Compose is the facts of one project of compose files.
type Compose struct {
	// Name is the path of its first file as the user sees it.
	Name     string
	Services []Service
	// Failed is why the files cannot be read; "" when they can.
	Failed string
}

// Service is a service of a compose file.
type Service struct {
	Name string
	// Line is that of its name in the file; 0 where another file has it.
	Line  int
	Image string
	// Build is the Dockerfile that it is built from as the user sees it; "" without one.
	Build string
	// Memory and CPUs say that the service has such a limit.
	Memory, CPUs bool
	// Health says that it has a health check, Dependents which services wait for it without waiting until it is healthy.
	Health     bool
	Dependents []string
	Privileged bool
	// Capabilities are those that it adds, without CAP_.
	Capabilities []string
	// Mounts are the host's paths that it has.
	Mounts []string
	// Literals are names of variables that look like secrets and have their values in the file, with their lines.
	Literals []Literal
}

// Literal is a variable whose value is in a compose file.
type Literal struct {
	Name string
	Line int
}

// AllContexts links contexts with the Dockerfiles that are built from them, and says which copies all of one.
func (p *Project) AllContexts() {
	seen := map[*Context]bool{}
	for _, d := range p.Dockerfiles {
		x := d.Context
		if x == nil {
			continue
		}
		if !seen[x] {
			seen[x] = true
			x.By = d
			p.Contexts = append(p.Contexts, x)
		}
		d.steps(func(_ *Stage, s *Step) {
			if broad(s) && !x.Broad {
				x.Broad, x.By, x.Line = true, d, s.Line
			}
		})
	}
}

// ReadsContext reports whether some step reads the build context.
func (d *Dockerfile) ReadsContext() (reads bool) {
	d.steps(func(_ *Stage, s *Step) {
		sources, from := sourcesOf(s)
		for _, src := range sources {
			reads = reads || from == "" && !isRemote(src)
		}
		for _, m := range s.Mounts {
			reads = reads || m.Type == instructions.MountTypeBind && m.From == ""
		}
	})
	return reads
}

// Sources are the paths of the context that steps copy and that are written out: no pattern, no variable.
func (d *Dockerfile) Sources() (all []string) {
	d.steps(func(_ *Stage, s *Step) {
		sources, from := sourcesOf(s)
		for _, src := range sources {
			if from == "" && !isRemote(src) && !strings.ContainsAny(src, "*?[$") {
				all = append(all, path.Clean("/" + src)[1:])
			}
		}
	})
	return all
}

// foreign reports whether another frontend than BuildKit's own for Dockerfiles reads the file.
func (d *Dockerfile) foreign() bool {
	registry, name, _, _ := parts(d.Syntax)
	return d.Syntax != "" && (registry != "docker.io" || !strings.HasPrefix(name, "docker/dockerfile"))
}

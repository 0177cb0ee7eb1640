package lens

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func stageChecks() []*Check {
	return []*Check{
		{
			ID: "unused-stage", Title: "Each stage is used", Level: Info, Questions: []string{"SUSTAINABILITY_01"}, Practices: []string{"unused"},
			Why:        "A stage that nothing needs is read, and kept up to date, for nothing. One that is built by --target is named in a compose file, or ignored with a reason.",
			Fix:        "remove the stage",
			dockerfile: checkUnusedStage,
		},
		{
			ID: "unused-arg", Title: "Each argument is used", Level: Info, Questions: []string{"SUSTAINABILITY_01"}, Practices: []string{"unused"},
			Why:        "An argument of no use still spoils the cache of each RUN behind it, whenever its value changes.",
			Fix:        "remove the ARG, or move it to the stage that uses it",
			dockerfile: checkUnusedArg,
		},
		{
			ID: "onbuild", Title: "No ONBUILD in applications", Level: Info, Questions: []string{"SUSTAINABILITY_01"}, Practices: []string{"unused"},
			Why:        "ONBUILD runs in the builds of others, where no line of theirs says so.",
			Fix:        "write the instruction where it is run",
			dockerfile: checkOnbuild,
		},
		{
			ID: "source-label", Title: "The image says where it is from", Level: Info, Questions: []string{"REL_04"}, Practices: []string{"lineage"},
			Why:        "Without its repository on it, an image in a registry leads back to no source.",
			Fix:        "LABEL org.opencontainers.image.source=ADDRESS",
			URL:        "https://github.com/opencontainers/image-spec/blob/main/annotations.md",
			dockerfile: checkSourceLabel,
		},
	}
}

func checkUnusedStage(d *Dockerfile, _ *Config) (all []found) {
	if len(d.Stages) == 0 {
		return nil
	}
	used := map[int]bool{}
	var need func(int)
	need = func(i int) {
		if i < 0 || used[i] {
			return
		}
		used[i] = true
		need(d.Stages[i].Parent)
		for j := range d.Stages[i].Steps {
			s := &d.Stages[i].Steps[j]
			if _, from := sourcesOf(s); from != "" {
				need(d.stage(from, i))
			}
			for _, m := range s.Mounts {
				if m.From != "" {
					need(d.stage(m.From, i))
				}
			}
		}
	}
	need(len(d.Stages) - 1)
	for _, t := range d.Targets {
		need(d.stage(t, len(d.Stages)))
	}
	for i, s := range d.Stages {
		if !used[i] && !d.computed() {
			name := s.Name
			if name == "" {
				name = itoa(i)
			}
			all = append(all, found{line: s.Line, text: fmt.Sprintf("nothing needs the stage %s", name)})
		}
	}
	return all
}

// computed reports whether some stage or source has an argument in its name, so that any stage may be meant.
func (d *Dockerfile) computed() bool {
	for i := range d.Stages {
		if strings.Contains(d.Stages[i].Raw, "$") && d.Stages[i].Base == "" {
			return true
		}
	}
	return false
}

// predefined are arguments that a build's steps have without naming them, or that a build reads itself.
var predefined = regexp.MustCompile(`(?i)^(https?_proxy|ftp_proxy|no_proxy|all_proxy|TARGET\w*|BUILD(PLATFORM|OS|ARCH|VARIANT)|BUILDKIT_\w+|SOURCE_DATE_EPOCH|DEBIAN_FRONTEND|PIP_\w+|npm_config_\w+|NODE_ENV|CGO_ENABLED|GO[A-Z]+|CARGO_\w+|RUST\w+|CACHE\w*|\w*CACHE\w*BUST\w*|CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS|MAKEFLAGS)$`)

func checkUnusedArg(d *Dockerfile, _ *Config) (all []found) {
	for i := range d.Stages {
		for j := range d.Stages[i].Steps {
			s := &d.Stages[i].Steps[j]
			arg, ok := s.Command.(*instructions.ArgCommand)
			if !ok {
				continue
			}
			for _, a := range arg.Args {
				if !predefined.MatchString(a.Key) && !d.uses(i, a.Key, s) {
					all = append(all, found{line: s.Line, end: s.End, text: fmt.Sprintf("nothing in the stage uses the argument %s", a.Key)})
				}
			}
		}
	}
	return all
}

// uses reports whether a stage, or one that begins with it, names a variable besides one step. A program that a RUN starts may read it without
// its name being there; but for files of the context, which are run, that is not seen.
func (d *Dockerfile) uses(stage int, name string, besides *Step) bool {
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`)
	for i := stage; i < len(d.Stages); i++ {
		if i != stage && d.Stages[i].Parent != stage {
			continue
		}
		for j := range d.Stages[i].Steps {
			s := &d.Stages[i].Steps[j]
			if s == besides {
				continue
			}
			lines := d.Lines[max(0, s.Line-1):min(len(d.Lines), s.End)]
			if slices.ContainsFunc(lines, word.MatchString) {
				return true
			}
			if runsScript(s) {
				return true
			}
		}
	}
	return false
}

func checkOnbuild(d *Dockerfile, _ *Config) (all []found) {
	d.steps(func(_ *Stage, s *Step) {
		if c, ok := s.Command.(*instructions.OnbuildCommand); ok {
			word, _, _ := strings.Cut(strings.TrimSpace(c.Expression), " ")
			all = append(all, found{line: s.Line, end: s.End, text: fmt.Sprintf("ONBUILD %s runs in builds of other files", word)})
		}
	})
	return all
}

func checkSourceLabel(d *Dockerfile, _ *Config) []found {
	if d.Final() == nil || !d.runs() {
		return nil
	}
	has := false
	d.imageSteps(func(_ *Stage, s *Step) {
		if c, ok := s.Command.(*instructions.LabelCommand); ok {
			has = has || slices.ContainsFunc(c.Labels, func(kv instructions.KeyValuePair) bool {
				return strings.Trim(kv.Key, `"'`) == "org.opencontainers.image.source"
			})
		}
	})
	if has {
		return nil
	}
	return []found{{line: d.Final().Line, text: "no label says which repository the image is from"}}
}

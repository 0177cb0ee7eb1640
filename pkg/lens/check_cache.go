package lens

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func cacheChecks() []*Check {
	return []*Check{
		{
			ID: "copy-order", Title: "Dependencies are installed before all is copied", Level: Warning, Questions: []string{"PERF_06"}, Practices: []string{"order"},
			Why:        "After a COPY of everything, each change of any file has all dependencies fetched again.",
			Fix:        "copy the manifest first, install, then copy the rest",
			URL:        "https://docs.docker.com/build/cache/optimize/#order-your-layers",
			dockerfile: checkCopyOrder,
		},
		{
			ID: "cache-mount", Title: "Package managers have cache mounts", Level: Info, Questions: []string{"PERF_06"}, Practices: []string{"cache-mounts"},
			Why:        "With a cache mount, what was fetched once stays between builds, and out of the image.",
			Fix:        "RUN --mount=type=cache,target=DIRECTORY",
			URL:        "https://docs.docker.com/build/cache/optimize/#use-cache-mounts",
			dockerfile: checkCacheMount,
		},
		{
			ID: "install-split", Title: "One step installs what one manager installs", Level: Info, Questions: []string{"PERF_06", "COST_04"}, Practices: []string{"few-layers"},
			Why:        "Each RUN is a layer, with a copy of the manager's data base.",
			Fix:        "install all of it in one RUN",
			dockerfile: checkSplit,
		},
		{
			ID: "layers", Title: "The image has few layers", Level: Info, Questions: []string{"COST_04"}, Practices: []string{"few-layers"},
			Why:        "Each RUN, COPY and ADD is a layer to fetch and to mount. The bound is the project's: budgets.layers in .linnet/lens.yaml.",
			Fix:        "join steps that belong together, or build in a stage of its own",
			dockerfile: checkLayers,
		},
	}
}

// broad reports whether a step copies all of the context.
func broad(s *Step) bool {
	sources, from := sourcesOf(s)
	return from == "" && slices.ContainsFunc(sources, func(src string) bool { return slices.Contains([]string{".", "./", "/", "*", "./*"}, src) })
}

// sourcesOf are what a COPY or ADD takes, and from which stage or image.
func sourcesOf(s *Step) (sources []string, from string) {
	switch c := s.Command.(type) {
	case *instructions.CopyCommand:
		return c.SourcePaths, c.From
	case *instructions.AddCommand:
		return c.SourcePaths, ""
	}
	return nil, ""
}

func checkCopyOrder(d *Dockerfile, _ *Config) (all []found) {
	for i := range d.Stages {
		var before *Step
		done := map[*manager]bool{} // what was installed before all was copied
		for j := range d.Stages[i].Steps {
			s := &d.Stages[i].Steps[j]
			if broad(s) && before == nil {
				before = s
			}
			for _, c := range calls(s.Script) {
				in := installOf(c)
				if in == nil || len(in.manifests) == 0 {
					continue
				}
				if before == nil || done[in.manager] {
					done[in.manager] = true
					continue
				}
				manifest := d.manifest(in)
				if manifest == "" || s.mounted(in.cache) {
					continue
				}
				all = append(all, found{
					line: before.Line, end: before.End, text: fmt.Sprintf("all is copied before %s on line %d: each change of a file runs that again", strings.Join(c.plain()[:min(2, len(c.plain()))], " "), d.lineOf(s, c.name())),
					fix: fmt.Sprintf("COPY %s first, then install, then COPY the rest", manifest),
				})
				done[in.manager] = true
			}
		}
	}
	return all
}

// manifest is the file of the context that says what a command installs; "" without one.
func (d *Dockerfile) manifest(in *install) string {
	for _, m := range in.manifests {
		if d.Context.has(m) {
			return m
		}
	}
	return ""
}

func checkCacheMount(d *Dockerfile, _ *Config) (all []found) {
	told := map[*manager]bool{}
	d.allCalls(func(s *Step, c Call) {
		in := installOf(c)
		if in == nil || in.system || told[in.manager] || s.mounted(in.cache) || c.flag("--no-cache-dir", "") || c.flag("--no-cache", "") {
			return
		}
		if len(s.Mounts) > 0 && slices.ContainsFunc(s.Mounts, func(m *instructions.Mount) bool { return m.Type == instructions.MountTypeCache }) {
			return // of a directory that the project has chosen
		}
		told[in.manager] = true
		all = append(all, found{line: d.lineOf(s, c.name()), end: s.End, text: fmt.Sprintf("%s fetches everything anew in each build", c.name()), fix: fmt.Sprintf("RUN --mount=type=cache,target=%s", in.cache[0])})
	})
	return all
}

func checkSplit(d *Dockerfile, _ *Config) (all []found) {
	in := d.lineage()
	for i := range d.Stages {
		var was *manager
		var begun *Step
		for j := range d.Stages[i].Steps {
			s := &d.Stages[i].Steps[j]
			now := onlyManager(s)
			if now != nil && now == was && in[i] {
				all = append(all, found{line: s.Line, end: s.End, text: fmt.Sprintf("%s installs in the steps of lines %d and %d", now.names[0], begun.Line, s.Line)})
			}
			was, begun = now, s
		}
	}
	return all
}

// onlyManager is the distribution's manager that a step installs with.
func onlyManager(s *Step) *manager {
	for _, c := range calls(s.Script) {
		if in := installOf(c); in != nil && in.system {
			return in.manager
		}
	}
	return nil
}

func checkLayers(d *Dockerfile, c *Config) []found {
	n := 0
	d.imageSteps(func(_ *Stage, s *Step) {
		switch s.Command.(type) {
		case *instructions.RunCommand, *instructions.CopyCommand, *instructions.AddCommand:
			n++
		}
	})
	if n <= c.Budgets.Layers {
		return nil
	}
	return []found{{line: d.Final().Line, text: fmt.Sprintf("the image gets %d layers, and %d are the budget", n, c.Budgets.Layers)}}
}

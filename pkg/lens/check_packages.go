package lens

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func packageChecks() []*Check {
	return []*Check{
		{
			ID: "install-leftovers", Title: "Package managers leave nothing behind", Level: Warning, Questions: []string{"COST_04"}, Practices: []string{"leftovers"},
			Why:        "Lists and archives of packages stay in the layer for ever; a later RUN that removes them only hides them.",
			Fix:        "remove them in the same RUN",
			dockerfile: checkLeftovers,
		},
		{
			ID: "update-alone", Title: "Lists are fetched where packages are installed", Level: Warning, Questions: []string{"PERF_06", "COST_04"}, Practices: []string{"few-layers"},
			Why:        "The layer of an update of its own stays in the cache for months, and an install after it asks for packages that are gone.",
			Fix:        "RUN UPDATE && INSTALL, as one step",
			dockerfile: checkUpdateAlone,
		},
		{
			ID: "install-extras", Title: "No packages that are only recommended", Level: Info, Questions: []string{"COST_04"}, Practices: []string{"no-extras"},
			Why:        "Recommended packages are often larger than what was asked for.",
			Fix:        "apt-get install --no-install-recommends",
			dockerfile: checkExtras,
		},
		{
			ID: "install-asks", Title: "Package managers do not ask", Level: Warning, Questions: []string{"COST_04"}, Practices: []string{"no-extras"},
			Why:        "A build has no terminal on which a question could be answered: the install fails.",
			Fix:        "add -y",
			dockerfile: checkAsks,
		},
		{
			ID: "sudo", Title: "No sudo", Level: Warning, Questions: []string{"COST_04", "SEC_01"}, Practices: []string{"no-extras"},
			Why:        "A step runs as its USER already; sudo in an image is one more way to root.",
			Fix:        "do it before USER, without sudo",
			dockerfile: checkSudo,
		},
		{
			ID: "dist-upgrade", Title: "The base is not upgraded", Level: Info, Questions: []string{"COST_04", "PERF_04"}, Practices: []string{"no-extras"},
			Why:        "An upgrade doubles what it replaces, differs from day to day, and hides that the base is old.",
			Fix:        "take a newer base image",
			dockerfile: checkUpgrade,
		},
		{
			ID: "unpinned-package", Title: "Packages have versions", Level: Info, Questions: []string{"OPS_01"}, Practices: []string{"pinned-packages"},
			Why:        "Two builds of one commit otherwise come to different images.",
			Fix:        "say the version of each package, or install from a lock file",
			dockerfile: checkUnpinned,
		},
	}
}

// each calls do for each command of each step that is in the final image.
func (d *Dockerfile) imageCalls(do func(*Step, Call)) {
	d.imageSteps(func(_ *Stage, s *Step) {
		for _, c := range calls(s.Script) {
			do(s, c)
		}
	})
}

func (d *Dockerfile) allCalls(do func(*Step, Call)) {
	d.steps(func(_ *Stage, s *Step) {
		for _, c := range calls(s.Script) {
			do(s, c)
		}
	})
}

// mounted reports whether a step has a mount on one of some directories, or above or below it.
func (s *Step) mounted(dirs []string) bool {
	return slices.ContainsFunc(s.Mounts, func(m *instructions.Mount) bool {
		target := strings.TrimSuffix(m.Target, "/")
		return slices.ContainsFunc(dirs, func(dir string) bool {
			return target != "" && (dir == target || strings.HasPrefix(dir, target+"/") || strings.HasPrefix(target, dir+"/"))
		})
	})
}

func checkLeftovers(d *Dockerfile, _ *Config) (all []found) {
	env := d.text("PIP_NO_CACHE_DIR")
	d.imageSteps(func(_ *Stage, s *Step) {
		told := map[*manager]bool{}
		for _, c := range calls(s.Script) {
			in := installOf(c)
			if in == nil || in.clean == nil || told[in.manager] || s.mounted(in.cache) {
				continue
			}
			cleaned := slices.ContainsFunc(in.clean, func(text string) bool { return strings.Contains(s.Script.Text, text) })
			if cleaned || in.names[0] == "pip" && env {
				continue
			}
			told[in.manager] = true
			all = append(all, found{line: d.lineOf(s, c.name()), end: s.End, text: fmt.Sprintf("%s install leaves its files in the layer", c.name()), fix: in.fix})
		}
	})
	for i := range all {
		all[i].text = strings.Replace(all[i].text, "apk install", "apk add", 1)
	}
	return all
}

// text reports whether some line of the file has a text.
func (d *Dockerfile) text(text string) bool {
	return slices.ContainsFunc(d.Lines, func(line string) bool { return strings.Contains(line, text) })
}

func checkUpdateAlone(d *Dockerfile, _ *Config) (all []found) {
	d.steps(func(_ *Stage, s *Step) {
		var update *Call
		installs := false
		for _, c := range calls(s.Script) {
			m, sub := managerOf(c)
			switch {
			case m == nil || !m.system:
			case slices.Contains(m.install, sub), slices.Contains(m.upgrade, sub):
				installs = true
			case slices.Contains(m.update, sub):
				update = &c
			}
		}
		if update != nil && !installs {
			all = append(all, found{line: s.Line, end: s.End, text: fmt.Sprintf("%s update is a step of its own", update.name()), fix: fmt.Sprintf("RUN %s update && %s install ..., as one step", update.name(), update.name())})
		}
	})
	return all
}

func checkExtras(d *Dockerfile, _ *Config) (all []found) {
	d.imageCalls(func(s *Step, c Call) {
		in := installOf(c)
		if in == nil || in.names[0] != "apt-get" || c.flag("--no-install-recommends", "") || d.text("APT::Install-Recommends") {
			return
		}
		all = append(all, found{line: d.lineOf(s, c.name()+" "), end: s.End, text: fmt.Sprintf("%s install also takes what is only recommended", c.name()), fix: c.name() + " install --no-install-recommends"})
	})
	return all
}

func checkAsks(d *Dockerfile, _ *Config) (all []found) {
	d.allCalls(func(s *Step, c Call) {
		in := installOf(c)
		if in == nil || in.yes == nil || c.Piped || d.text("APT::Get::Assume-Yes") || strings.Contains(s.Script.Text, "yes |") {
			return
		}
		for _, yes := range in.yes {
			long, short := yes, ""
			if !strings.HasPrefix(yes, "--") {
				long, short = "", strings.TrimPrefix(yes, "-")
			}
			if c.flag(long, short) {
				return
			}
		}
		all = append(all, found{line: d.lineOf(s, c.name()), end: s.End, text: fmt.Sprintf("%s install asks, and a build has no terminal", c.name()), fix: fmt.Sprintf("%s install %s", c.name(), in.yes[len(in.yes)-1])})
	})
	return all
}

func checkSudo(d *Dockerfile, _ *Config) (all []found) {
	d.allCalls(func(s *Step, c Call) {
		if len(c.Words) > 0 && c.Words[0] == "sudo" {
			all = append(all, found{line: d.lineOf(s, "sudo "), end: s.End, text: "a step uses sudo: sudo " + c.name()})
		}
	})
	return all
}

func checkUpgrade(d *Dockerfile, _ *Config) (all []found) {
	d.imageCalls(func(s *Step, c Call) {
		if m, sub := managerOf(c); m != nil && m.system && slices.Contains(m.upgrade, sub) && len(c.args()) == 1 {
			all = append(all, found{line: d.lineOf(s, sub), end: s.End, text: fmt.Sprintf("%s %s replaces packages of the base", c.name(), sub)})
		}
	})
	return all
}

func checkUnpinned(d *Dockerfile, _ *Config) (all []found) {
	d.imageCalls(func(s *Step, c Call) {
		in := installOf(c)
		if in == nil || in.pinned == nil || in.names[0] == "npm" && !c.flag("--global", "g") {
			return
		}
		var loose []string
		for _, p := range in.packages {
			if !in.pinned(p) {
				loose = append(loose, p)
			}
		}
		if len(loose) > 0 && (in.names[0] != "pip" || !c.flag("--requirement", "r")) {
			what := strings.Join(loose[:min(3, len(loose))], ", ")
			if len(loose) > 3 {
				what += fmt.Sprintf(" and %d more", len(loose)-3)
			}
			all = append(all, found{line: d.lineOf(s, c.name()), end: s.End, text: fmt.Sprintf("%s takes whichever version there is of %s", c.name(), what)})
		}
	})
	return all
}

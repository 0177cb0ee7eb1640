package lens

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func userChecks() []*Check {
	return []*Check{
		{
			ID: "user-root", Title: "The image does not run as root", Level: Warning, Questions: []string{"SEC_01"}, Practices: []string{"non-root"},
			Why:        "What breaks out of a process of root's has root's rights in the container, and more ways out of it.",
			Fix:        "end the stage with USER 10001, or an image whose user is not root",
			URL:        "https://docs.docker.com/build/building/best-practices/#user",
			dockerfile: checkUserRoot,
		},
		{
			ID: "user-switch", Title: "The user changes once, at the end", Level: Info, Questions: []string{"SEC_01"}, Practices: []string{"non-root"},
			Why:        "Each change of the user is a chance to forget the way back, and makes layers that could be one.",
			Fix:        "do first what needs root, then USER once",
			dockerfile: checkUserSwitch,
		},
		{
			ID: "user-name", Title: "The user is a number", Level: Info, Questions: []string{"SEC_01"}, Practices: []string{"non-root"},
			Why:        "An orchestrator that refuses root (runAsNonRoot) cannot tell by a name whether it is root's.",
			Fix:        "USER with the user's number, such as 10001",
			dockerfile: checkUserName,
		},
	}
}

// user is a USER instruction with the stage that has it.
type user struct {
	name string // without the group
	step *Step
}

// users are the USER instructions of the final image, in the order in which they count; arguments without a value are "".
func (d *Dockerfile) users() (all []user) {
	d.imageSteps(func(_ *Stage, s *Step) {
		if u, ok := s.Command.(*instructions.UserCommand); ok {
			name, _, _ := strings.Cut(u.User, ":")
			all = append(all, user{name, s})
		}
	})
	return all
}

func isRoot(name string) bool { return name == "root" || name == "0" }

// notRoots are parts of images' names that say that their user is not root.
var notRoots = []string{"nonroot", "unprivileged", "rootless", "chainguard/", "bitnami/", "distroless.dev"}

func checkUserRoot(d *Dockerfile, _ *Config) []found {
	final := d.Final()
	if final == nil {
		return nil
	}
	if all := d.users(); len(all) > 0 {
		last := all[len(all)-1]
		if isRoot(last.name) {
			return []found{{line: last.step.Line, text: "the image runs as root"}}
		}
		return nil
	}
	base, _ := d.finalBase()
	if base == "" || !d.runs() {
		return nil // not known, or nothing that runs
	}
	for _, n := range notRoots {
		if strings.Contains(base, n) {
			return nil
		}
	}
	whose := base + "'s, which is mostly root"
	if base == "scratch" {
		whose = "root"
	}
	return []found{{line: final.Line, text: "no USER: the image runs as " + whose}}
}

// runs reports whether the final image says what it runs; others are bases or files.
func (d *Dockerfile) runs() (is bool) {
	d.imageSteps(func(_ *Stage, s *Step) {
		switch s.Command.(type) {
		case *instructions.CmdCommand, *instructions.EntrypointCommand:
			is = true
		}
	})
	return is
}

func checkUserSwitch(d *Dockerfile, _ *Config) []found {
	was := ""
	back := 0
	var at *Step
	for _, u := range d.users() {
		if isRoot(u.name) && was != "" && !isRoot(was) {
			back++
			at = u.step
		}
		was = u.name
	}
	if back == 0 {
		return nil
	}
	return []found{{line: at.Line, text: fmt.Sprintf("the user goes back to root %s", times(back))}}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func checkUserName(d *Dockerfile, _ *Config) []found {
	all := d.users()
	if len(all) == 0 {
		return nil
	}
	last := all[len(all)-1]
	if isRoot(last.name) || strings.Contains(last.name, "$") || strings.Trim(last.name, "0123456789") == "" {
		return nil
	}
	return []found{{line: last.step.Line, text: fmt.Sprintf("the user is %s, a name", last.name)}}
}

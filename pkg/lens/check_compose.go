package lens

import (
	"fmt"
	"slices"
	"strings"
)

func composeChecks() []*Check {
	return []*Check{
		{
			ID: "compose-unreadable", Title: "The compose file can be read", Level: Warning, Practices: []string{"local-environment"}, Questions: []string{"REL_03"},
			Why:     "A project whose compose file needs something that is only on one machine cannot be tested on another.",
			Fix:     "mend what is named; variables can have defaults: ${NAME:-value}",
			compose: checkComposeRead,
		},
		{
			ID: "compose-tag", Title: "Services' images have a version", Level: Warning, Questions: []string{"PERF_03"}, Practices: []string{"no-latest"},
			Why:     "Two machines with one compose file otherwise run different images.",
			Fix:     "name a version: IMAGE:VERSION",
			compose: checkComposeTag,
		},
		{
			ID: "compose-limits", Title: "Services have limits", Level: Info, Questions: []string{"REL_01"}, Practices: []string{"limits"},
			Why:     "A service that leaks memory without a limit takes its neighbours along.",
			Fix:     "deploy.resources.limits with memory and cpus, or mem_limit and cpus",
			compose: checkComposeLimits,
		},
		{
			ID: "compose-wait", Title: "Services wait until others are healthy", Level: Info, Questions: []string{"OPS_02", "REL_05"}, Practices: []string{"health"},
			Why:     "A dependency that has been started does not answer yet.",
			Fix:     "depends_on with condition: service_healthy, and a healthcheck of the other service",
			compose: checkComposeWait,
		},
		{
			ID: "compose-privileged", Title: "Services have no rights over the host", Level: Warning, Questions: []string{"SEC_01", "SEC_04"}, Practices: []string{"privileges"},
			Why:     "A privileged container is root on the host, and so is one with the engine's socket.",
			Fix:     "name the one capability or device that it needs",
			compose: checkComposePrivileged,
		},
		{
			ID: "compose-secret", Title: "No password is in a compose file", Level: Warning, Questions: []string{"SEC_05"}, Practices: []string{"secrets"},
			Why:     "What is in a compose file is in its repository.",
			Fix:     "take it from the environment, ${NAME}, or from a secret",
			compose: checkComposeSecret,
		},
	}
}

func checkComposeRead(p *Compose, _ *Config) []found {
	if p.Failed == "" {
		return nil
	}
	return []found{{text: p.Failed}}
}

func checkComposeTag(p *Compose, _ *Config) (all []found) {
	for _, s := range p.Services {
		if s.Image == "" || s.Build != "" || strings.Contains(s.Image, "$") {
			continue
		}
		switch _, _, tag, digest := parts(s.Image); {
		case digest != "":
		case tag == "":
			all = append(all, found{line: s.Line, text: fmt.Sprintf("the image of %s, %s, has no tag", s.Name, s.Image), fix: fmt.Sprintf("name a version: %s:VERSION", s.Image)})
		case tag == "latest":
			all = append(all, found{line: s.Line, text: fmt.Sprintf("the image of %s, %s, is whatever is the latest", s.Name, s.Image)})
		}
	}
	return all
}

func checkComposeLimits(p *Compose, _ *Config) (all []found) {
	for _, s := range p.Services {
		missing := ""
		switch {
		case !s.Memory && !s.CPUs:
			missing = "memory and CPUs"
		case !s.Memory:
			missing = "memory"
		case !s.CPUs:
			missing = "CPUs"
		default:
			continue
		}
		all = append(all, found{line: s.Line, text: fmt.Sprintf("%s has no limit of %s", s.Name, missing)})
	}
	return all
}

func checkComposeWait(p *Compose, _ *Config) (all []found) {
	for _, s := range p.Services {
		if len(s.Dependents) > 0 {
			all = append(all, found{line: s.Line, text: fmt.Sprintf("what depends on %s does not wait until it is healthy: %s", s.Name, strings.Join(s.Dependents, ", "))})
		}
	}
	return all
}

// powers are capabilities that are as good as root on the host.
var powers = []string{"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF"}

func checkComposePrivileged(p *Compose, _ *Config) (all []found) {
	for _, s := range p.Services {
		if s.Privileged {
			all = append(all, found{line: s.Line, text: fmt.Sprintf("%s is privileged", s.Name)})
		}
		for _, c := range s.Capabilities {
			if slices.Contains(powers, c) {
				all = append(all, found{line: s.Line, text: fmt.Sprintf("%s has the capability %s", s.Name, c)})
			}
		}
		for _, m := range s.Mounts {
			switch {
			case strings.HasSuffix(m, "/docker.sock"), strings.HasSuffix(m, "/containerd.sock"), strings.HasSuffix(m, "/podman.sock"):
				all = append(all, found{line: s.Line, text: fmt.Sprintf("%s has the engine's socket, %s", s.Name, m), fix: "leave it out, or put a proxy before it that allows what is needed"})
			case m == "/", m == "/etc", m == "/root", m == "/proc", m == "/sys":
				all = append(all, found{line: s.Line, text: fmt.Sprintf("%s has the host's %s", s.Name, m), fix: "mount the one directory that it needs"})
			}
		}
	}
	return all
}

func checkComposeSecret(p *Compose, _ *Config) (all []found) {
	for _, s := range p.Services {
		for _, l := range s.Literals {
			all = append(all, found{line: l.Line, text: fmt.Sprintf("the value of %s's %s is in the file", s.Name, l.Name), fix: fmt.Sprintf("%s: ${%s:?}, or a secret", l.Name, l.Name)})
		}
	}
	return all
}

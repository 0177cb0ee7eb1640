package lens

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func runtimeChecks() []*Check {
	return []*Check{
		{
			ID: "no-healthcheck", Title: "A service has a health check", Level: Info, Questions: []string{"OPS_02", "REL_05"}, Practices: []string{"health"},
			Why:        "A process that runs is not yet a service that answers; what waits for it, or replaces it, has to know.",
			Fix:        "HEALTHCHECK in the Dockerfile, or healthcheck in the compose file; HEALTHCHECK NONE says that there shall be none",
			dockerfile: checkHealth,
		},
		{
			ID: "signals", Title: "Signals reach the program", Level: Warning, Questions: []string{"COST_05"}, Practices: []string{"exec-form"},
			Why:        "A shell as the first process hands no signal on: each stop waits out its ten seconds, and then kills.",
			Fix:        "begin the command with exec",
			dockerfile: checkSignals,
		},
		{
			ID: "package-runner", Title: "The program is run itself", Level: Info, Questions: []string{"COST_05"}, Practices: []string{"exec-form"},
			Why:        "A package manager as the first process takes memory of its own, and hands signals on late or not at all.",
			Fix:        `run the program: CMD ["node", "server.js"]`,
			dockerfile: checkRunner,
		},
		{
			ID: "supervisor", Title: "One concern for a container", Level: Warning, Questions: []string{"PERF_01"}, Practices: []string{"one-concern"},
			Why:        "What ends in a container with several services, the engine does not see; nor are their limits and logs apart.",
			Fix:        "an image for each service, and compose for all of them",
			dockerfile: checkSupervisor,
		},
	}
}

// command is what the final image runs: the last ENTRYPOINT, or else the last CMD of the stages that it has.
func (d *Dockerfile) command() (line *instructions.ShellDependantCmdLine, at *Step) {
	entry := false
	d.imageSteps(func(_ *Stage, s *Step) {
		switch c := s.Command.(type) {
		case *instructions.EntrypointCommand:
			line, at, entry = &c.ShellDependantCmdLine, s, true
		case *instructions.CmdCommand:
			if !entry {
				line, at = &c.ShellDependantCmdLine, s
			}
		}
	})
	return line, at
}

func checkHealth(d *Dockerfile, _ *Config) []found {
	exposes, checked := false, d.Health
	d.imageSteps(func(_ *Stage, s *Step) {
		switch s.Command.(type) {
		case *instructions.ExposeCommand:
			exposes = true
		case *instructions.HealthCheckCommand:
			checked = true
		}
	})
	if !exposes || checked {
		return nil
	}
	return []found{{line: d.Final().Line, text: "the image exposes a port, and has no HEALTHCHECK"}}
}

// shellScript is the script that a command hands to a shell itself: ["sh", "-c", SCRIPT].
func shellScript(line []string) string {
	if len(line) < 3 {
		return ""
	}
	name := line[0][strings.LastIndexByte(line[0], '/')+1:]
	if slices.Contains([]string{"sh", "bash", "ash", "dash"}, name) && strings.HasPrefix(line[1], "-") && strings.HasSuffix(line[1], "c") {
		return line[2]
	}
	return ""
}

func checkSignals(d *Dockerfile, _ *Config) []found {
	line, at := d.command()
	if line == nil || line.PrependShell {
		return nil // BuildKit's JSONArgsRecommended
	}
	script := shellScript(line.CmdLine)
	parsed := parseScript(script)
	if script == "" || parsed == nil || strings.Contains(script, "exec ") || strings.Contains(script, "trap ") || len(parsed.Calls) < 2 {
		return nil // a single command replaces its shell in most shells
	}
	return []found{{line: at.Line, end: at.End, text: fmt.Sprintf("%s runs several commands in a shell, and the last has no exec", strings.ToUpper(at.Name()))}}
}

func checkRunner(d *Dockerfile, _ *Config) []found {
	line, at := d.command()
	if line == nil || len(line.CmdLine) == 0 {
		return nil
	}
	words := line.CmdLine
	if line.PrependShell {
		words = strings.Fields(words[0])
	}
	if len(words) < 2 || !slices.Contains([]string{"npm", "yarn", "pnpm", "npx", "mvn", "gradle", "poetry", "pipenv"}, words[0]) {
		return nil
	}
	return []found{{line: at.Line, end: at.End, text: fmt.Sprintf("the first process is %s, not the program", words[0])}}
}

// supervisors are programs that keep several services running.
var supervisors = []string{"supervisord", "runsvdir", "s6-svscan", "systemd", "init", "monit", "circusd"}

func checkSupervisor(d *Dockerfile, _ *Config) []found {
	line, at := d.command()
	if line == nil || len(line.CmdLine) == 0 {
		return nil
	}
	text := strings.Join(line.CmdLine, " ")
	script := shellScript(line.CmdLine)
	if line.PrependShell {
		script = text
	} else if name := line.CmdLine[0][strings.LastIndexByte(line.CmdLine[0], '/')+1:]; slices.Contains(supervisors, name) {
		return []found{{line: at.Line, end: at.End, text: fmt.Sprintf("the first process is %s, which runs several services", name)}}
	}
	parsed := parseScript(script)
	if script == "" || parsed == nil {
		return nil
	}
	for _, c := range parsed.Calls {
		switch {
		case slices.Contains(supervisors, c.name()):
			return []found{{line: at.Line, end: at.End, text: fmt.Sprintf("the command starts %s, which runs several services", c.name())}}
		case c.name() == "service" && c.has("start", "restart"), c.name() == "systemctl":
			return []found{{line: at.Line, end: at.End, text: fmt.Sprintf("the command starts a service beside it: %s", strings.Join(c.plain(), " "))}}
		}
	}
	if parsed.Background {
		return []found{{line: at.Line, end: at.End, text: "the command leaves a process running beside it: &"}}
	}
	return nil
}

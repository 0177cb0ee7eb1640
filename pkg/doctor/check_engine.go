package doctor

import (
	"strings"
)

// engineChecks are about the engine, its programs and what it publishes.
func engineChecks() []Check {
	return []Check{
		{
			ID: "versions", Title: "versions", judge: judgeVersions,
			Looks: "the client, the running agent, and each component with its mends beside what is pinned",
			Why:   "only the pinned versions were tested together",
		},
		{
			ID: "engine", Title: "engine", judge: judgeEngine,
			Looks: "the engine's processes, how often each was started again, and its directory in /run",
			Why:   "a process that ends again and again has a reason, which is in its log",
		},
		{
			ID: "ports", Title: "published ports", judge: judgePorts,
			Looks: "the ports that the virtual machine's containers publish on this host",
			Why:   "a port that another process has is not reached",
		},
	}
}

func judgeVersions(f *Facts) (found []Finding) {
	if f.Engine.Client == "" {
		return nil
	}
	if e := f.Engine; e.Agent != "" && e.Agent != e.Client {
		found = append(found, warning("linnet engine restart", "the agent is %s and the client %s", e.Agent, e.Client))
	}
	for _, c := range f.Components {
		const again = "install linnet again, or make deps"
		switch {
		case c.State == "missing":
			found = append(found, failed(again, "%s is missing: %s", c.Name, c.Path))
		case c.State == "different" && c.Found == c.Pinned:
			found = append(found, warning(again, "%s was built without %s: %s", c.Name, strings.Join(c.Unmended, ", "), c.Path))
		case c.State == "different":
			found = append(found, warning(again, "%s is %s and not the pinned %s: %s", c.Name, c.Found, c.Pinned, c.Path))
		}
	}
	return orOK(found, "linnet %s, and all %d components as they are pinned", f.Engine.Client, len(f.Components))
}

func judgeEngine(f *Facts) (found []Finding) {
	e := f.Engine
	switch {
	case e.Error != nil:
		return []Finding{failed(e.Error.Fix, "%s", e.Error.Text)}
	case e.State == "":
		return nil
	case e.State == "stopped":
		return []Finding{ok("it does not run; the first command that needs it starts it")}
	}
	for _, d := range e.Daemons {
		said := ""
		if d.LastError != "" {
			said = ": " + d.LastError
		}
		switch {
		case d.State == "waiting" || d.State == "stopped":
			found = append(found, failed("linnet engine logs "+d.Name, "%s does not run%s", d.Name, said))
		case d.Restarts > 0:
			found = append(found, warning("linnet engine logs "+d.Name, "%s was started again %d times%s", d.Name, d.Restarts, said))
		}
	}
	if e.State == "degraded" && len(found) == 0 {
		found = append(found, failed("linnet engine start: a new agent takes over what runs", "the agent has ended, and containers or daemons of its run on"))
	}
	if e.RuntimeMissing {
		found = append(found, failed("linnet engine restart; see what cleans up in /run", "%s is gone while the engine runs", e.Runtime))
	}
	return orOK(found, "it is %s", e.State)
}

func judgePorts(f *Facts) (found []Finding) {
	if f.Backend != "lima" || f.Engine.State != "running" {
		return nil
	}
	for _, p := range f.Engine.Ports {
		if p.Error != "" {
			found = append(found, failed("end what has it, or publish another: then start the container again", "%s is not open: %s", p.Name, p.Error))
		}
	}
	return orOK(found, "%s, all open", plural(len(f.Engine.Ports), "published port"))
}

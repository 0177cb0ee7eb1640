package doctor

import (
	"maps"
	"slices"
	"strings"
)

// dockerChecks are about Docker's configuration, its clients, and other engines.
func dockerChecks() []Check {
	return []Check{
		{
			ID: "credential-helpers", Title: "credential helpers", judge: judgeHelpers,
			Looks: "Docker's config.json, and that the programs which credsStore and credHelpers name are in PATH",
			Why:   "a pull that asks a helper which is not there fails, of a public image, too",
		},
		{
			ID: "docker-socket", Title: "Docker's API", judge: judgeDockerSocket,
			Looks:   "the engine's docker.sock, and what is at /var/run/docker.sock",
			Why:     "tools that speak Docker's API find the engine there",
			Repairs: "removes a link at /var/run/docker.sock that leads to a docker.sock of this home where no engine runs, as root",
		},
		{
			ID: "docker-clients", Title: "Docker's clients", judge: judgeDockerClients,
			Looks: "where DOCKER_HOST, DOCKER_CONTEXT or the current Docker context lead",
			Why:   "docker and tools like it speak to that engine, which may be another than you think, or none",
		},
		{
			ID: "other-engines", Title: "other engines", judge: judgeOthers,
			Looks: "the usual sockets of Docker, Docker Desktop, Colima, Podman, Rancher Desktop, OrbStack and Finch",
			Why:   "images and containers that linnet does not list may be theirs",
		},
	}
}

func judgeHelpers(f *Facts) (found []Finding) {
	d := f.Docker
	if d.ConfigError != nil {
		return []Finding{failed(d.ConfigError.Fix, "%s", d.ConfigError.Text)}
	}
	if d.Store != "" {
		found = append(found, failed("install it, or take credsStore out of that file and log in again", "%s, which credsStore in %s names, is not in PATH", d.Store, d.Config))
	}
	for _, registry := range slices.Sorted(maps.Keys(d.Helpers)) {
		found = append(found, warning("install it, or take it out of credHelpers there", "%s, which %s names for %s, is not in PATH", d.Helpers[registry], d.Config, registry))
	}
	return orOK(found, "those that are named are there")
}

func judgeDockerSocket(f *Facts) (found []Finding) {
	d := f.Docker
	if d.Socket == "" {
		return nil
	}
	if !d.Off && f.Engine.State == "running" && !d.Serves {
		found = append(found, failed("linnet engine restart; linnet engine logs agent says more", "the engine runs, and %s does not answer", d.Socket))
	}
	s := d.System
	switch {
	case s.Target == d.Socket && s.Target != "" && s.Answers == No:
		w := warning("linnet engine start, or linnet docker disable", "%s leads to %s, where no process listens", s.Path, d.Socket)
		if d.Off {
			w = warning("linnet docker disable, or docker.socket: on", "%s leads to %s, and docker.socket is off", s.Path, d.Socket)
		}
		if f.Root && f.Engine.State == "stopped" {
			w.Do = []Action{{Kind: RemoveLink, Path: s.Path, Target: d.Socket}}
		}
		found = append(found, w)
	case s.Exists && s.Answers == No:
		found = append(found, warning("start that engine, or remove it as root and linnet docker enable", "%s is there, and no process listens", s.Path))
	}
	switch {
	case d.Off:
		return orOK(found, "the settings turn it off")
	case d.Serves:
		return orOK(found, "%s answers", d.Socket)
	}
	return orOK(found, "the engine answers on %s when it runs", d.Socket)
}

func judgeDockerClients(f *Facts) []Finding {
	d := f.Docker
	switch {
	case d.Host == "":
		return []Finding{ok("neither a variable nor a context chooses an engine")}
	case d.HostAnswers == No && strings.TrimPrefix(d.Host, "unix://") == d.Socket && !f.running():
		return []Finding{ok("%s leads to linnet's engine, which does not run", d.From)}
	case d.HostAnswers == No:
		return []Finding{warning("start that engine; or linnet docker context --use, and unset DOCKER_HOST", "%s leads to %s, where no process listens", d.From, d.Host)}
	case strings.TrimPrefix(d.Host, "unix://") == d.Socket:
		return []Finding{ok("%s leads to linnet's engine", d.From)}
	}
	return []Finding{ok("%s leads to %s, which is not linnet's engine", d.From, d.Host)}
}

func judgeOthers(f *Facts) []Finding {
	var running, silent []string
	for _, e := range f.Docker.Engines {
		text := e.Name + " (" + e.Socket + ")"
		if e.Answers {
			running = append(running, text)
		} else {
			silent = append(silent, text)
		}
	}
	switch {
	case len(running) > 0:
		return []Finding{ok("beside linnet's: %s; linnet migrate takes their images and volumes", strings.Join(running, ", "))}
	case len(silent) > 0:
		return []Finding{ok("none answers; sockets: %s", strings.Join(silent, ", "))}
	}
	return []Finding{ok("none")}
}

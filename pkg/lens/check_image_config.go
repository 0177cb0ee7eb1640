package lens

import (
	"fmt"
	"strings"
)

func imageConfigChecks() []*Check {
	return []*Check{
		{
			ID: "image-user", Title: "The image does not run as root", Level: Warning, Questions: []string{"SEC_01"}, Practices: []string{"non-root"},
			Why:   "What breaks out of a process of root's has root's rights in the container, and more ways out of it.",
			Fix:   "end the Dockerfile with USER 10001",
			URL:   "https://docs.docker.com/build/building/best-practices/#user",
			image: checkImageUser,
		},
		{
			ID: "image-health", Title: "A service has a health check", Level: Info, Questions: []string{"OPS_02", "REL_05"}, Practices: []string{"health"},
			Why:   "A process that runs is not yet a service that answers; what waits for it, or replaces it, has to know.",
			Fix:   "HEALTHCHECK in the Dockerfile, or healthcheck in the compose file; HEALTHCHECK NONE says that there shall be none",
			image: checkImageHealth,
		},
		{
			ID: "image-signals", Title: "Signals reach the program", Level: Warning, Questions: []string{"COST_05"}, Practices: []string{"exec-form"},
			Why:   "A shell as the first process hands no signal on: each stop waits out its ten seconds, and then kills.",
			Fix:   `write the command as a JSON array, or begin it with exec`,
			image: checkImageSignals,
		},
		{
			ID: "image-labels", Title: "The image says where it is from", Level: Info, Questions: []string{"REL_04"}, Practices: []string{"lineage"},
			Why:   "Without its repository and revision on it, an image in a registry leads back to no source.",
			Fix:   "linnet build --label org.opencontainers.image.source=ADDRESS --label org.opencontainers.image.revision=COMMIT",
			URL:   "https://github.com/opencontainers/image-spec/blob/main/annotations.md",
			image: checkImageLabels,
		},
		{
			ID: "image-attestation", Title: "The image says how it was built, and of what", Level: Info, Questions: []string{"SEC_04", "OPS_01"}, Practices: []string{"sbom"},
			Why:   "Provenance leads from a layer to the line that made it; an SBOM tells which images have a package that turned out to be dangerous.",
			Fix:   "linnet build --provenance=mode=max --sbom=true",
			URL:   "https://docs.docker.com/build/metadata/attestations/",
			image: checkImageAttestation,
		},
	}
}

func checkImageUser(i *Image, _ *Config) []found {
	name, _, _ := strings.Cut(i.User, ":")
	switch {
	case len(i.Entrypoint) == 0 && len(i.Cmd) == 0:
		return nil // it is there to be built on
	case name == "":
		return []found{{text: "the image names no user, and runs as root"}}
	case isRoot(name):
		return []found{{text: fmt.Sprintf("the image runs as %s", name)}}
	}
	return nil
}

func checkImageHealth(i *Image, _ *Config) []found {
	if len(i.Ports) == 0 || i.Health {
		return nil
	}
	return []found{{text: fmt.Sprintf("the image exposes %s, and has no health check", some(i.Ports))}}
}

func checkImageSignals(i *Image, _ *Config) []found {
	name, words := "ENTRYPOINT", i.Entrypoint
	if len(words) == 0 {
		name, words = "CMD", i.Cmd
	}
	script := shellScript(words)
	parsed := parseScript(script)
	if script == "" || parsed == nil || strings.Contains(script, "exec ") || strings.Contains(script, "trap ") || len(parsed.Calls) < 2 {
		return nil // a single command replaces its shell in most shells
	}
	return []found{{text: name + " runs several commands in a shell, and the last has no exec"}}
}

func checkImageLabels(i *Image, _ *Config) []found {
	if len(i.Entrypoint) == 0 && len(i.Cmd) == 0 {
		return nil
	}
	var missing []string
	for _, name := range []string{"source", "revision"} {
		if i.Labels["org.opencontainers.image."+name] == "" {
			missing = append(missing, "org.opencontainers.image."+name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return []found{{text: "the image has no label " + strings.Join(missing, " and ")}}
}

func checkImageAttestation(i *Image, _ *Config) []found {
	switch {
	case !i.Attestable:
		return nil
	case i.Provenance == nil && !i.SBOM:
		return []found{{text: "the image has no provenance and no SBOM"}}
	case i.Provenance == nil:
		return []found{{text: "the image has no provenance"}}
	case !i.SBOM:
		return []found{{text: "the image has no SBOM"}}
	}
	return nil
}

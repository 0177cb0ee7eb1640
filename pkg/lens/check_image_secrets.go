package lens

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func imageSecretChecks() []*Check {
	const fix = "revoke it, and hand the new one over with RUN --mount=type=secret,id=NAME"
	const url = "https://docs.docker.com/build/building/secrets/"
	return []*Check{
		{
			ID: "image-secret", Title: "No layer has a secret", Level: Error, Questions: []string{"SEC_05"}, Practices: []string{"layer-secrets", "secrets"},
			Why: "All who can pull the image can read each of its layers, and with them what later layers remove. In directories of tests and examples it is an information.",
			Fix: fix, URL: url,
			image: checkImageSecret,
		},
		{
			ID: "image-secret-env", Title: "No variable and no label is a secret", Level: Error, Questions: []string{"SEC_05"}, Practices: []string{"layer-secrets", "secrets"},
			Why: "The configuration is shown by inspect, and each process of the container has its variables.",
			Fix: "revoke it, and hand the new one over as the container is started", URL: url,
			image: checkImageSecretEnv,
		},
		{
			ID: "image-secret-history", Title: "No secret is in the history", Level: Error, Questions: []string{"SEC_05"}, Practices: []string{"layer-secrets", "secrets"},
			Why: "The history has each step as it was run, with the build arguments, and so may the provenance.",
			Fix: fix, URL: url,
			image: checkImageSecretHistory,
		},
	}
}

// mostSecrets is how many of a layer's files are told of one by one.
const mostSecrets = 50

// checkImageSecret goes by all layers, not by what is seen of them.
func checkImageSecret(i *Image, _ *Config) (all []found) {
	gone := map[*Entry]hiding{}
	for _, h := range i.tree().hidden {
		gone[h.Entry] = h
	}
	for n, l := range i.Layers {
		told, more := 0, 0
		for at := range l.Entries {
			e := &l.Entries[at]
			if e.Detail == nil {
				continue
			}
			for _, s := range e.Detail.Secrets {
				if told == mostSecrets {
					more++
					continue
				}
				told++
				all = append(all, i.secretFile(n, e, s, gone))
			}
		}
		if more > 0 {
			all = append(all, found{text: fmt.Sprintf("%d more secrets are in %s", more, i.of(n)), place: i.place(n, "", 0)})
		}
	}
	return all
}

// secretFile is a secret of a file, wherever the file went.
func (i *Image) secretFile(layer int, e *Entry, s Secret, gone map[*Entry]hiding) found {
	name := e.Path
	if s.Line > 0 {
		name = fmt.Sprintf("%s:%d", e.Path, s.Line)
	}
	f := found{text: fmt.Sprintf("%s has %s, in %s", name, s.What, i.of(layer)), place: i.place(layer, e.Path, e.Size)}
	if h, is := gone[e]; is {
		does := "replaces"
		if h.removed {
			does = "removes"
		}
		f.text += fmt.Sprintf("; %s %s the file, and the layer keeps it", i.of(h.by), does)
	}
	if isSample(e.Path) {
		f.level = Info
	}
	return f
}

func checkImageSecretEnv(i *Image, _ *Config) (all []found) {
	for _, v := range i.Env {
		name, value, _ := strings.Cut(v, "=")
		if what := secretIn(value); what != "" {
			all = append(all, found{text: fmt.Sprintf("the variable %s has %s", name, what)})
		} else if isSecretVariable(name, value) {
			all = append(all, found{text: fmt.Sprintf("the variable %s has a value", name)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.Labels)) {
		if what := secretIn(i.Labels[name]); what != "" {
			all = append(all, found{text: fmt.Sprintf("the label %s has %s", name, what)})
		}
	}
	for _, line := range [][]string{i.Entrypoint, i.Cmd} {
		if what := secretIn(strings.Join(line, " ")); what != "" {
			all = append(all, found{text: "the command has " + what})
		}
	}
	return all
}

// checkImageSecretHistory tells of each argument and each step once.
func checkImageSecretHistory(i *Image, _ *Config) (all []found) {
	arguments := map[string]bool{}
	argument := func(name, value, where string, place *Place) {
		if arguments[name] {
			return
		}
		if what := secretIn(value); what != "" {
			arguments[name] = true
			all = append(all, found{text: fmt.Sprintf("the build argument %s has %s, in %s", name, what, where), place: place})
		} else if isSecretVariable(name, value) {
			arguments[name] = true
			all = append(all, found{text: fmt.Sprintf("the build argument %s has its value in %s", name, where), place: place})
		}
	}
	layer := 0
	for n, h := range i.History {
		where, place := fmt.Sprintf("entry %d of the history (%s)", n+1, step(h.By)), &Place{Step: step(h.By)}
		if !h.Empty && layer < len(i.Layers) {
			where, place = "the history of "+i.of(layer), i.place(layer, "", 0)
			layer++
		}
		if m := argumentsOf.FindStringSubmatch(strings.TrimSpace(h.By)); m != nil {
			for _, word := range strings.Fields(m[1]) {
				name, value, _ := strings.Cut(word, "=")
				argument(name, value, where, place)
			}
		}
		body := i.withoutEnv(instruction(h.By))
		if rest, ok := strings.CutPrefix(body, "ARG "); ok {
			name, value, _ := strings.Cut(rest, "=")
			argument(strings.TrimSpace(name), value, where, place)
			continue
		}
		if what := secretIn(body); what != "" {
			all = append(all, found{text: fmt.Sprintf("%s has %s", where, what), place: place})
		} else if names := assignedSecrets(body); len(names) > 0 {
			all = append(all, found{text: fmt.Sprintf("%s has the value of %s", where, some(names)), place: place})
		}
	}
	if i.Provenance != nil {
		for _, name := range slices.Sorted(maps.Keys(i.Provenance.Arguments)) {
			argument(name, i.Provenance.Arguments[name], "the provenance", nil)
		}
	}
	return all
}

// withoutEnv is an instruction without the variables and labels that the configuration still has: those are told of there.
func (i *Image) withoutEnv(text string) string {
	name, _, _ := strings.Cut(text, " ")
	if name != "ENV" && name != "LABEL" && name != "CMD" && name != "ENTRYPOINT" {
		return text
	}
	for _, v := range i.Env {
		text = strings.ReplaceAll(text, v, "")
	}
	if name == "LABEL" {
		for _, value := range i.Labels {
			if value != "" {
				text = strings.ReplaceAll(text, value, "")
			}
		}
	}
	for _, word := range slices.Concat(i.Entrypoint, i.Cmd) {
		if len(word) > 8 && name != "ENV" && name != "LABEL" {
			text = strings.ReplaceAll(text, word, "")
		}
	}
	return text
}

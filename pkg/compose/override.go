package compose

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// imageLabel is where a container says which image it was made from, as docker's compose has it.
const imageLabel = "com.docker.compose.image"

// Files are the project's compose files, absolute but for "-".
func (p *Project) Files() []string { return p.model.ComposeFiles }

// Override is a compose file to be laid over the project's own, for a compose that shall build
// nothing: the images are there, and their digests, by name, given. It takes out the build
// sections, and the secrets that are for them alone, and gives services the digest as a label,
// so that a container whose image has changed differs from what it should be.
func (p *Project) Override(digests map[string]string) []byte {
	var b strings.Builder
	b.WriteString("# Written anew by linnet before each run: what was built needs no build section.\nservices:\n")
	all, running := p.model.AllServices(), map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		s.Name = name
		for _, secret := range s.Secrets {
			running[secret.Source] = true
		}
		if s.Build == nil {
			continue
		}
		fmt.Fprintf(&b, "  %s:\n    build: !reset null\n    image: %s\n", quoted(name), quoted(p.image(s)))
		if s.PullPolicy == types.PullPolicyBuild {
			b.WriteString("    pull_policy: missing\n")
		}
		if digest := digests[p.image(s)]; digest != "" {
			fmt.Fprintf(&b, "    labels: {%s: %s}\n", quoted(imageLabel), quoted(digest))
		}
	}
	secrets := slices.DeleteFunc(slices.Sorted(maps.Keys(p.model.Secrets)), func(name string) bool { return running[name] })
	if len(secrets) > 0 {
		b.WriteString("secrets:\n")
	}
	for _, name := range secrets {
		fmt.Fprintf(&b, "  %s: !reset null\n", quoted(name))
	}
	return []byte(b.String())
}

// quoted is a text in YAML, which takes JSON, with nothing in it to be interpolated.
func quoted(text string) string {
	out, _ := json.Marshal(text) // a string can always be written
	return strings.ReplaceAll(string(out), "$", "$$")
}

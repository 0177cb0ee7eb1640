package images

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/linnet-dev/linnet/pkg/lens"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// predicate is what of a provenance is looked at, in both of SLSA's forms, with BuildKit's own parts.
// Sources: slsa.dev/spec, "Provenance", v0.2 and v1; BuildKit's docs/attestations/slsa-definitions.md.
type predicate struct {
	// Of v0.2.
	Invocation struct {
		Parameters parameters `json:"parameters"`
	} `json:"invocation"`
	Metadata struct {
		BuildKit buildkit `json:"https://mobyproject.org/buildkit@v1#metadata"`
	} `json:"metadata"`
	// Of v1.
	Definition struct {
		External struct {
			Request parameters `json:"request"`
		} `json:"externalParameters"`
	} `json:"buildDefinition"`
	Run struct {
		Metadata struct {
			BuildKit buildkit `json:"buildkit_metadata"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

type parameters struct {
	Args map[string]string `json:"args"`
}

type buildkit struct {
	Source struct {
		Locations map[string]struct {
			Locations []struct {
				Source int `json:"sourceIndex"`
				Ranges []struct {
					Start, End struct {
						Line int `json:"line"`
					}
				} `json:"ranges"`
			} `json:"locations"`
		} `json:"locations"`
		Infos []struct {
			Filename string `json:"filename"`
		} `json:"infos"`
	} `json:"source"`
	// Layers are, by a step and its output, the chains of layers that it came to.
	Layers map[string][][]ocispecs.Descriptor `json:"layers"`
}

// attest reads the statements of an attestation.
func attest(ctx context.Context, s Source, i *lens.Image, at Part) error {
	var m manifest
	if err := decode(ctx, s, at, &m); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was not fetched
		}
		return err
	}
	for _, d := range m.Layers {
		kind := d.Annotations["in-toto.io/predicate-type"]
		switch {
		case strings.HasPrefix(kind, "https://spdx.dev/"), strings.HasPrefix(kind, "https://cyclonedx.org/"):
			i.SBOM = true
		case strings.HasPrefix(kind, "https://slsa.dev/provenance/"):
			var statement struct {
				Predicate json.RawMessage `json:"predicate"`
			}
			var p predicate
			if err := decode(ctx, s, part(d), &statement); err != nil {
				return err
			}
			if err := json.Unmarshal(statement.Predicate, &p); err != nil {
				return err
			}
			i.Provenance = provenance(&p)
		}
	}
	return nil
}

func provenance(p *predicate) *lens.Provenance {
	out := &lens.Provenance{Arguments: map[string]string{}, Steps: map[string]lens.Lines{}}
	for _, args := range []map[string]string{p.Invocation.Parameters.Args, p.Definition.External.Request.Args} {
		for key, value := range args {
			if name, ok := strings.CutPrefix(key, "build-arg:"); ok {
				out.Arguments[name] = value
			}
		}
	}
	b := &p.Metadata.BuildKit
	if len(b.Layers) == 0 {
		b = &p.Run.Metadata.BuildKit
	}
	for _, output := range sortedKeys(b.Layers) {
		step, _, _ := strings.Cut(output, ":")
		at := b.Source.Locations[step].Locations
		if len(at) == 0 || len(at[0].Ranges) == 0 {
			continue
		}
		ranges := at[0].Ranges
		lines := lens.Lines{Line: ranges[0].Start.Line, End: ranges[len(ranges)-1].End.Line, File: "Dockerfile"}
		if n := at[0].Source; n >= 0 && n < len(b.Source.Infos) && b.Source.Infos[n].Filename != "" {
			lines.File = b.Source.Infos[n].Filename
		}
		for _, chain := range b.Layers[output] {
			if len(chain) > 0 { // the step's own is the last
				out.Steps[chain[len(chain)-1].Digest.String()] = lines
			}
		}
	}
	return out
}

package build

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/build/store"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// addOutputs turns outputs into BuildKit's exporters. With none the result goes into the image
// store.
func (j *job) addOutputs(h options.Host, o options.Options) error {
	if o.Request != "" {
		return nil
	}
	tags, err := fullNames(o.Tags)
	if err != nil {
		return err
	}
	outputs := o.Outputs
	if len(outputs) == 0 {
		outputs = []options.Output{{Type: "image"}}
	}
	for _, out := range outputs {
		e := client.ExportEntry{Type: out.Type, Attrs: map[string]string{}}
		maps.Copy(e.Attrs, out.Attrs)
		if err := j.addOutput(h, out, e, tags); err != nil {
			return err
		}
	}
	j.addProvenance(h, o)
	return j.addAnnotations(o.Annotations)
}

// addProvenance attaches what docker attaches unasked, to what leaves this machine. A result in
// the image store has none unless it is asked for: with its times in it, an image that did not
// change would have another digest after each build.
func (j *job) addProvenance(h options.Host, o options.Options) {
	if _, ok := o.Attests["provenance"]; ok {
		return
	}
	if no, _ := strconv.ParseBool(h.Env("BUILDX_NO_DEFAULT_ATTESTATIONS")); no {
		return
	}
	for _, e := range j.opt.Exports {
		push, _ := truth(e.Attrs, "push")
		rewrite, _ := truth(e.Attrs, "rewrite-timestamp")
		if (push || e.Type == "oci") && !rewrite {
			j.attrs["attest:provenance"] = "mode=min,inline-only=true"
		}
	}
}

func fullNames(tags []string) ([]string, error) {
	var all []string
	for _, tag := range tags {
		name, err := store.FullName(tag)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all, nil
}

func (j *job) addOutput(h options.Host, out options.Output, e client.ExportEntry, tags []string) error {
	switch out.Type {
	case "cacheonly":
		return nil
	case "local":
		e.OutputDir = h.Abs(out.Dest)
	case "tar":
		return j.addStream(h, out, e)
	case "oci", "docker":
		if err := setName(&e, out, tags); err != nil {
			return err
		}
		if out.Dest == "" && e.Attrs["tar"] != "false" {
			// Into the image store, which takes either format: nothing is packed for it.
			return j.addImage(e, tags, false)
		}
		if e.Attrs["tar"] == "false" {
			if out.Dest == "" {
				return options.FlagError("output", "type="+out.Type+",tar=false", errors.New("it says not where to"), "dest=DIRECTORY")
			}
			e.OutputDir = h.Abs(out.Dest)
			break
		}
		return j.addStream(h, out, e)
	case "registry":
		e.Type = "image"
		if _, ok := e.Attrs["push"]; !ok {
			e.Attrs["push"] = "true"
		}
		return j.addImage(e, tags, true)
	case "image":
		return j.addImage(e, tags, false)
	}
	j.opt.Exports = append(j.opt.Exports, e)
	return nil
}

// addStream is a result that is one file, or standard output.
func (j *job) addStream(h options.Host, out options.Output, e client.ExportEntry) error {
	if out.Dest == "-" {
		if h.Stdout == nil {
			return errors.New("writing the result to standard output: there is none")
		}
		e.Output = func(map[string]string) (io.WriteCloser, error) { return keepOpen{h.Stdout}, nil }
	} else {
		path := h.Abs(out.Dest)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return &hint.Error{Err: fmt.Errorf("writing the result to %s: it is a directory", out.Dest), Fix: "name a file: dest=" + filepath.Join(out.Dest, "image.tar")}
		}
		p := &pending{path: path}
		j.pending = append(j.pending, p)
		e.Output = p.open
	}
	j.opt.Exports = append(j.opt.Exports, e)
	return nil
}

type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

// setName gives an exporter the tags, besides the name that it has.
func setName(e *client.ExportEntry, out options.Output, tags []string) error {
	names := tags
	if own := out.Attrs["name"]; own != "" && own != "*" {
		var err error
		if names, err = fullNames(append(slices.Clone(tags), strings.Split(own, ",")...)); err != nil {
			return err
		}
	}
	if len(names) > 0 {
		e.Attrs["name"] = strings.Join(names, ",")
	}
	return nil
}

// addImage is a result for the image store, which run uses, or for a registry, or for both.
func (j *job) addImage(e client.ExportEntry, tags []string, registry bool) error {
	e.Type = "image"
	if err := setName(&e, options.Output{Attrs: e.Attrs}, tags); err != nil {
		return err
	}
	push, err := truth(e.Attrs, "push")
	if err != nil {
		return err
	}
	if push && e.Attrs["name"] == "" {
		return &hint.Error{Err: errors.New("pushing the result: it has no name"), Fix: "add --tag REGISTRY/NAME"}
	}
	if e.Attrs["name"] == "" {
		// As nerdctl names what has none.
		e.Attrs["dangling-name-prefix"] = "<none>"
	}
	if _, ok := e.Attrs["unpack"]; !ok && !registry {
		e.Attrs["unpack"] = "true"
	}
	rewrite, err := truth(e.Attrs, "rewrite-timestamp")
	if err != nil {
		return err
	}
	unpack, err := truth(e.Attrs, "unpack")
	if err != nil {
		return err
	}
	if unpack && rewrite {
		// The exporter would unpack what the image was before its times were rewritten, and says
		// that it will not.
		e.Attrs["unpack"], j.rewritten = "false", true
	}
	j.unpack = j.unpack || unpack
	j.opt.Exports = append(j.opt.Exports, e)
	return nil
}

// truth is an attribute that is a boolean; one without a value is true.
func truth(attrs map[string]string, key string) (bool, error) {
	v, ok := attrs[key]
	if !ok {
		return false, nil
	}
	if v == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, fmt.Errorf("--output: %s: %q is not a boolean", key, v)
	}
	return b, nil
}

// The kinds of annotation, in the words of docker's --annotation.
var annotated = []string{"manifest", "index", "manifest-descriptor", "index-descriptor"}

// addAnnotations reads [KIND[PLATFORM],...:]key=value for every exporter that makes an image.
func (j *job) addAnnotations(values []string) error {
	for _, value := range values {
		key, v, ok := strings.Cut(value, "=")
		if !ok {
			return options.FlagError("annotation", value, errors.New("it is not of the form key=value"), "")
		}
		kinds := "manifest"
		if before, after, ok := strings.Cut(key, ":"); ok {
			kinds, key = before, after
		}
		for _, kind := range strings.Split(kinds, ",") {
			name, _, _ := strings.Cut(kind, "[")
			if !slices.Contains(annotated, name) {
				return options.FlagError("annotation", value, fmt.Errorf("nothing is called %q that could be annotated", name), "one of "+strings.Join(annotated, ", "))
			}
			attr := "annotation-" + kind + "." + key
			for _, e := range j.opt.Exports {
				if e.Type == "image" || e.Type == "oci" || e.Type == "docker" {
					e.Attrs[attr] = v
				}
			}
		}
	}
	return nil
}

// imageID is the digest by which the image store knows a result: of its index or manifest.
func imageID(response map[string]string) string { return response["containerimage.digest"] }

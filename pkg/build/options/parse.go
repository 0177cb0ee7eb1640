package options

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// fields splits a comma-separated value; an entry may stand in double quotes (RFC 4180).
func fields(value string) ([]string, error) {
	if value == "" {
		return nil, nil
	}
	got, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return nil, fmt.Errorf("%q is not a comma-separated list: %w", value, err)
	}
	return got, nil
}

// pairs are fields of the form key=value; keys are in lower case and may stand once.
func pairs(value string) (map[string]string, error) {
	all, err := fields(value)
	if err != nil {
		return nil, err
	}
	got := make(map[string]string, len(all))
	for _, f := range all {
		key, v, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not of the form key=value", f)
		}
		got[strings.ToLower(strings.TrimSpace(key))] = v
	}
	return got, nil
}

// FlagError is what is wrong with the value of a flag, with what to do about it unless fix is empty.
func FlagError(flag, value string, err error, fix string) error {
	err = fmt.Errorf("--%s %q: %w", flag, value, err)
	if fix == "" {
		return err
	}
	return &hint.Error{Err: err, Fix: fix}
}

// ParseArgs reads NAME=value, or NAME, which takes the host's value and is left out where the
// host has none.
func ParseArgs(values []string, lookup func(string) (string, bool)) (map[string]string, error) {
	args := map[string]string{}
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if name == "" {
			return nil, FlagError("build-arg", v, errors.New("the name is missing"), "--build-arg NAME=value, or --build-arg NAME")
		}
		if ok {
			args[name] = value
		} else if value, ok := lookup(name); ok {
			args[name] = value
		}
	}
	return args, nil
}

// ParseLabels reads key=value, or key, which has no value.
func ParseLabels(values []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, v := range values {
		key, value, _ := strings.Cut(v, "=")
		if key == "" {
			return nil, FlagError("label", v, errors.New("the key is missing"), "--label key=value")
		}
		labels[key] = value
	}
	return labels, nil
}

// ParseContexts reads NAME=VALUE.
func ParseContexts(values []string) ([]Context, error) {
	var all []Context
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" || value == "" {
			return nil, FlagError("build-context", v, errors.New("it is not of the form NAME=VALUE"),
				"NAME=PATH, NAME=docker-image://IMAGE, NAME=oci-layout://PATH or NAME=https://...")
		}
		all = append(all, Context{Name: strings.ToLower(name), Value: value})
	}
	return all, nil
}

// ParseSecret reads id=ID[,src=FILE|,env=NAME][,type=file|env]. With neither, ID is a variable
// where there is one of that name, else a file.
func ParseSecret(value string, lookup func(string) (string, bool)) (Secret, error) {
	fail := func(err error) (Secret, error) {
		return Secret{}, FlagError("secret", value, err, "--secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE")
	}
	got, err := pairs(value)
	if err != nil {
		return fail(err)
	}
	s := Secret{ID: got["id"], File: got["src"], Env: got["env"]}
	if s.File == "" {
		s.File = got["source"]
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if !slices.Contains([]string{"id", "src", "source", "env", "type"}, key) {
			return fail(fmt.Errorf("%q means nothing here", key))
		}
	}
	switch kind := got["type"]; {
	case s.ID == "":
		return fail(errors.New("the id is missing"))
	case kind != "" && kind != "file" && kind != "env":
		return fail(fmt.Errorf("type %q is neither file nor env", kind))
	case kind == "env" && s.Env == "":
		s.File, s.Env = "", s.File
	case kind == "file" && s.File == "":
		s.File, s.Env = s.Env, ""
	}
	if s.File == "" && s.Env == "" {
		if _, ok := lookup(s.ID); ok && got["type"] != "file" {
			s.Env = s.ID
		} else if got["type"] == "env" {
			s.Env = s.ID
		} else {
			s.File = s.ID
		}
	}
	return s, nil
}

// ParseSSH reads default, or ID[=SOCKET|KEY[,KEY]].
func ParseSSH(value string) (SSH, error) {
	id, paths, ok := strings.Cut(value, "=")
	if id == "" {
		return SSH{}, FlagError("ssh", value, errors.New("the id is missing"), "--ssh default, or --ssh ID=SOCKET or ID=KEYFILE")
	}
	s := SSH{ID: id}
	if ok {
		s.Paths = strings.Split(paths, ",")
	}
	return s, nil
}

// The exporters. A result of the image store's is written by the engine itself.
var outputTypes = []string{"image", "registry", "local", "tar", "oci", "docker", "cacheonly"}

// ParseOutput reads a folder, "-" for a tar archive on standard output, or
// type=TYPE[,dest=PATH][,key=value].
func ParseOutput(value string) (Output, error) {
	all, err := fields(value)
	if err != nil {
		return Output{}, FlagError("output", value, err, "")
	}
	if len(all) == 1 && all[0] == value && !strings.HasPrefix(value, "type=") {
		if value == "-" {
			return Output{Type: "tar", Dest: "-", Attrs: map[string]string{}}, nil
		}
		return Output{Type: "local", Dest: value, Attrs: map[string]string{}}, nil
	}
	attrs, err := pairs(value)
	if err != nil {
		return Output{}, FlagError("output", value, err, "")
	}
	o := Output{Type: attrs["type"], Dest: attrs["dest"], Attrs: attrs}
	delete(attrs, "type")
	delete(attrs, "dest")
	if !slices.Contains(outputTypes, o.Type) {
		return o, FlagError("output", value, fmt.Errorf("there is no type %q", o.Type), "one of "+strings.Join(outputTypes, ", "))
	}
	if (o.Type == "local" || o.Type == "tar") && o.Dest == "" {
		return o, FlagError("output", value, errors.New("it says not where to"), "type="+o.Type+",dest=PATH")
	}
	return o, nil
}

// ParseCache reads an image, or several, or type=TYPE[,key=value].
func ParseCache(flag, value string) ([]Cache, error) {
	if !strings.Contains(value, "=") {
		refs, err := fields(value)
		if err != nil {
			return nil, FlagError(flag, value, err, "")
		}
		var all []Cache
		for _, ref := range refs {
			all = append(all, Cache{Type: "registry", Attrs: map[string]string{"ref": ref}})
		}
		return all, nil
	}
	attrs, err := pairs(value)
	if err != nil {
		return nil, FlagError(flag, value, err, "")
	}
	c := Cache{Type: attrs["type"], Attrs: attrs}
	delete(attrs, "type")
	place := map[string]string{"cache-from": "src", "cache-to": "dest"}[flag]
	switch {
	case c.Type == "":
		return nil, FlagError(flag, value, errors.New("the type is missing"), "type=registry,ref=IMAGE or type=local,"+place+"=FOLDER")
	case c.Type == "local" && attrs[place] == "":
		return nil, FlagError(flag, value, errors.New("the folder is missing"), "type=local,"+place+"=FOLDER")
	case c.Type == "registry" && attrs["ref"] == "":
		return nil, FlagError(flag, value, errors.New("the image is missing"), "type=registry,ref=IMAGE")
	}
	return []Cache{c}, nil
}

// ParseAttests reads type=TYPE[,disabled=BOOL][,key=value], and the shorthands --provenance and
// --sbom: a boolean, or key=value of that type. The later of one type counts.
func ParseAttests(values []string, provenance, sbom string) (map[string]string, error) {
	attests := map[string]string{}
	for _, v := range values {
		if err := addAttest(attests, "attest", v); err != nil {
			return nil, err
		}
	}
	for _, short := range []struct{ kind, value string }{{"provenance", provenance}, {"sbom", sbom}} {
		if short.value == "" {
			continue
		}
		long := "type=" + short.kind
		if on, err := strconv.ParseBool(short.value); err == nil {
			long += fmt.Sprintf(",disabled=%t", !on)
		} else {
			long += "," + short.value
		}
		if err := addAttest(attests, short.kind, long); err != nil {
			return nil, err
		}
	}
	return attests, nil
}

// Disabled stands for an attestation that is not wanted, where a default could be meant.
const Disabled = "disabled"

func addAttest(attests map[string]string, flag, value string) error {
	attrs, err := pairs(value)
	if err != nil {
		return FlagError(flag, value, err, "")
	}
	kind := attrs["type"]
	if kind == "" {
		return FlagError(flag, value, errors.New("the type is missing"), "--attest type=provenance or --attest type=sbom")
	}
	if v, ok := attrs["disabled"]; ok {
		off, err := strconv.ParseBool(v)
		if err != nil {
			return FlagError(flag, value, fmt.Errorf("disabled: %q is not a boolean", v), "")
		}
		if off {
			attests[kind] = Disabled
			return nil
		}
		delete(attrs, "disabled")
	}
	attests[kind] = join(attrs)
	return nil
}

// join writes key=value,... in the order of the keys, quoted where it has to be.
func join(attrs map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(attrs)) {
		all = append(all, key+"="+attrs[key])
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(all) // a Builder takes everything
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

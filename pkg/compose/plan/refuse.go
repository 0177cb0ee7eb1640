package plan

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Refusals are what of a project cannot be done, each an error that names its place: a key that is refused, or a value that is. A command that
// starts something of the project asks first, for the services that Chosen names. The order is that of the places.
func Refusals(p *types.Project, services []string) (all []error) {
	p = only(p, services)
	walkProject(p, func(place string, k Key, v reflect.Value) {
		switch {
		case k.Verdict != Refused, k.Path == "services.isolation" && v.String() == "default":
		default:
			all = append(all, hint.With(fmt.Errorf("%s: %s", place, k.Reason), "take "+lastPart(place)+" out"))
		}
	})
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		for _, secret := range s.Secrets {
			if bool(p.Secrets[secret.Source].External) {
				all = append(all, hint.With(fmt.Errorf("services.%s.secrets: %s is external, and there is no store of secrets", name, secret.Source), "give it a file or environment in the project's secrets"))
			}
		}
		for _, config := range s.Configs {
			if bool(p.Configs[config.Source].External) {
				all = append(all, hint.With(fmt.Errorf("services.%s.configs: %s is external, and there is no store of configs", name, config.Source), "give it a file, content or environment in the project's configs"))
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeNamedPipe || v.Type == types.VolumeTypeCluster {
				all = append(all, hint.With(fmt.Errorf("services.%s.volumes: %s is of type %s, which there is none of here", name, v.Target, v.Type), "use volume, bind, tmpfs or image"))
			}
		}
	}
	return all
}

// only is a project with some of its services, whether or not a profile has them.
func only(p *types.Project, services []string) *types.Project {
	some, all := *p, p.AllServices()
	some.Services = types.Services{}
	for _, name := range services {
		if s, ok := all[name]; ok {
			s.Name = name
			some.Services[name] = s
		}
	}
	return &some
}

// Warnings are what of a project and some of its services has no effect, a line each, once.
func Warnings(p *types.Project, services []string) (all []string) {
	p = only(p, services)
	above := ""
	walkProject(p, func(place string, k Key, _ reflect.Value) {
		inHook := strings.HasPrefix(k.Path, "services.pre_start.")
		if k.Verdict != Warned || inHook || above != "" && strings.HasPrefix(place, above) {
			return
		}
		above = place + "."
		all = append(all, fmt.Sprintf("%s has no effect: %s", place, k.Reason))
	})
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if d := p.Services[name].Deploy; d != nil && d.Mode != "" && d.Mode != "replicated" {
			all = append(all, fmt.Sprintf("services.%s.deploy.mode has no effect: %s", name, noSwarm))
		}
	}
	return slices.Compact(all)
}

// walkProject calls do for each key that a project sets, with its place, names among it. What is below a refused key is left out.
func walkProject(p *types.Project, do func(place string, k Key, v reflect.Value)) {
	w := walker{index(), do}
	w.walk(reflect.ValueOf(p).Elem(), "", "")
}

type walker struct {
	keys map[string]Key
	do   func(place string, k Key, v reflect.Value)
}

func (w walker) walk(v reflect.Value, path, place string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			w.walk(v.Elem(), path, place)
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.walk(v.Index(i), path, place)
		}
	case reflect.Map:
		if structOf(v.Type().Elem()) == nil {
			return
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			w.walk(v.MapIndex(key), path, place+key.String()+".")
		}
	case reflect.Struct:
		fields(v.Type(), func(index []int, name string) {
			field := v.FieldByIndex(index)
			if isEmpty(field) {
				return
			}
			k, _ := keyOf(w.keys, path+name)
			if k.Path != "" {
				k.Path = path + name
			}
			w.do(place+name, k, field)
			if k.Verdict != Refused {
				w.walk(field, path+name+".", place+name+".")
			}
		})
	}
}

// structOf is the struct that a type leads to; nil when it leads to none.
func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

func isEmpty(v reflect.Value) bool {
	return v.IsZero() || (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0
}

func lastPart(place string) string { return place[strings.LastIndexByte(place, '.')+1:] }

// published is a port of the host that a service takes.
type published struct{ ip, service string }

// ports refuses containers of one command that would have one port of the host.
func (p *planner) ports(used []*service) error {
	taken := map[string][]published{}
	for _, s := range used {
		if !s.selected || s.scale == 0 {
			continue
		}
		for _, port := range s.Ports {
			if port.Published == "" || port.Published == "0" || strings.Contains(port.Published, "-") {
				continue
			}
			if s.scale > 1 {
				return hint.With(fmt.Errorf("service %s is to have %d containers, and each would publish port %s", s.Name, s.scale, port.Published),
					"publish a range of ports, or leave the host's port open")
			}
			key := port.Published + "/" + port.Protocol
			for _, other := range taken[key] {
				if other.service != s.Name && (other.ip == port.HostIP || other.ip == "" || port.HostIP == "") {
					return hint.With(fmt.Errorf("services %s and %s both publish port %s", other.service, s.Name, port.Published),
						"give one of them another port of this host")
				}
			}
			taken[key] = append(taken[key], published{port.HostIP, s.Name})
		}
	}
	return nil
}

package dockerapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
)

const (
	// gatewayName is what a container calls the host. gatewayEntry is the entry that makes it so: the daemon puts the address in.
	gatewayName  = "host.docker.internal"
	gatewayEntry = gatewayName + ":host-gateway"
)

// rewrite changes a JSON object. What change leaves alone is returned byte for byte, and so is what is no object: the daemon says
// what is wrong with it. In what is changed, unknown members and the digits of numbers stay; blanks and the order of members do not.
func rewrite(body []byte, change func(map[string]any) (bool, error)) ([]byte, error) {
	object, ok := decodeObject(body)
	if !ok {
		return body, nil
	}
	if changed, err := change(object); err != nil || !changed {
		return body, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(object); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// decodeObject decodes what is one JSON object and nothing after it: that would be lost, and with it the daemon's complaint.
func decodeObject(body []byte) (object map[string]any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return nil, false
	}
	object, ok = value.(map[string]any)
	_, err := d.Token()
	return object, ok && errors.Is(err, io.EOF)
}

// edits is what is changed in requests.
type edits struct {
	path    func(host string) (string, error) // nil: paths stay
	gateway bool
}

// container changes the body of POST /containers/create (ContainerCreate in the API's description).
func (e edits) container(body map[string]any) (changed bool, err error) {
	if e.path != nil {
		changed, err = e.move(containerPaths(body))
	}
	if err == nil && e.gateway && addGateway(body) {
		changed = true
	}
	return changed, err
}

// volume changes the body of POST /volumes/create (VolumeCreate).
func (e edits) volume(body map[string]any) (changed bool, err error) {
	return e.move(volumePaths(body, "Driver", "DriverOpts"))
}

// place is where a body names a path of the host, and what puts another one there.
type place struct {
	path string
	set  func(path string)
}

func (e edits) move(places []place) (changed bool, err error) {
	for _, p := range places {
		to, err := e.path(p.path)
		if err != nil {
			return false, err
		}
		if to != p.path {
			p.set(to)
			changed = true
		}
	}
	return changed, nil
}

func containerPaths(body map[string]any) (places []place) {
	for hc := range members[map[string]any](body, "HostConfig") {
		for binds := range members[[]any](hc, "Binds") {
			for i := range binds {
				spec, _ := binds[i].(string)
				if path, rest, ok := cutBind(spec); ok {
					places = append(places, place{path, func(to string) { binds[i] = to + rest }})
				}
			}
		}
		for mounts := range members[[]any](hc, "Mounts") {
			for i := range mounts {
				if m, ok := mounts[i].(map[string]any); ok {
					places = append(places, mountPaths(m)...)
				}
			}
		}
	}
	return places
}

// cutBind takes "/path:/where[:options]" apart; rest begins with the colon. ok is false where the source is a volume, and where the daemon will refuse it.
func cutBind(spec string) (path, rest string, ok bool) {
	parts := strings.Split(spec, ":")
	if len(parts) < 2 || len(parts) > 3 || !strings.HasPrefix(parts[0], "/") || !strings.HasPrefix(parts[1], "/") {
		return "", "", false
	}
	return parts[0], spec[len(parts[0]):], true
}

func mountPaths(m map[string]any) (places []place) {
	for kind := range members[string](m, "Type") {
		if kind != "bind" {
			continue
		}
		for _, key := range keys(m, "Source") {
			if path, ok := m[key].(string); ok && strings.HasPrefix(path, "/") {
				places = append(places, place{path, func(to string) { m[key] = to }})
			}
		}
	}
	for options := range members[map[string]any](m, "VolumeOptions") {
		for driver := range members[map[string]any](options, "DriverConfig") {
			places = append(places, volumePaths(driver, "Name", "Options")...)
		}
	}
	return places
}

// volumePaths finds the path of a volume that is a directory of the host: one of the local driver that mount(2) binds, whatever its type says.
func volumePaths(v map[string]any, driver, options string) (places []place) {
	for name := range members[string](v, driver) {
		if name != "" && name != "local" {
			return nil
		}
	}
	for o := range members[map[string]any](v, options) {
		flags, _ := o["o"].(string)
		device, _ := o["device"].(string)
		bound := slices.ContainsFunc(strings.Split(flags, ","), func(f string) bool { return f == "bind" || f == "rbind" })
		if bound && strings.HasPrefix(device, "/") {
			places = append(places, place{device, func(to string) { o["device"] = to }})
		}
	}
	return places
}

// addGateway adds the name of the host, unless the container has no network of its own or has an entry for that name. It reports whether it has.
func addGateway(body map[string]any) bool {
	for hc := range members[map[string]any](body, "HostConfig") {
		for mode := range members[string](hc, "NetworkMode") {
			if mode == "host" || mode == "none" || strings.HasPrefix(mode, "container:") {
				return false
			}
		}
		for hosts := range members[[]any](hc, "ExtraHosts") {
			if slices.ContainsFunc(hosts, isGateway) {
				return false
			}
		}
	}
	hc, key := lastMember(body, "HostConfig")
	if hc == nil {
		hc = map[string]any{}
	}
	config, ok := hc.(map[string]any)
	if !ok {
		return false
	}
	hosts, hostsKey := lastMember(config, "ExtraHosts")
	list, ok := hosts.([]any)
	if hosts != nil && !ok {
		return false
	}
	config[hostsKey], body[key] = append(list, gatewayEntry), config
	return true
}

// isGateway reports whether an entry of ExtraHosts, NAME:ADDRESS, is for the host's name.
func isGateway(entry any) bool {
	text, _ := entry.(string)
	name, _, _ := strings.Cut(strings.Replace(text, "=", ":", 1), ":")
	return strings.EqualFold(strings.TrimSpace(name), gatewayName)
}

// keys are the members of an object that the daemon takes for name. It is written in Go, where case does not count; the last one wins.
func keys(object map[string]any, name string) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for key := range maps.Keys(object) {
			if strings.EqualFold(key, name) && !yield(key) {
				return
			}
		}
	})
}

// members are the values of the members that the daemon takes for name, as far as they are of type T.
func members[T any](object map[string]any, name string) func(yield func(T) bool) {
	return func(yield func(T) bool) {
		for _, key := range keys(object, name) {
			if value, ok := object[key].(T); ok && !yield(value) {
				return
			}
		}
	}
}

// lastMember is the member that wins, and its key; of none, nil and name.
func lastMember(object map[string]any, name string) (value any, key string) {
	if all := keys(object, name); len(all) > 0 {
		return object[all[len(all)-1]], all[len(all)-1]
	}
	return nil, name
}

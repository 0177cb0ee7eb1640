package dockerapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// sharedOnly maps what is below /home, and refuses what is below /secret.
func sharedOnly(host string) (string, error) {
	if strings.HasPrefix(host, "/secret") {
		return "", errors.New(host + " is not shared")
	}
	if strings.HasPrefix(host, "/home") {
		return "/mnt" + host, nil
	}
	return host, nil
}

func TestContainerBodies(t *testing.T) {
	for _, c := range []struct {
		name, body, want string // want "": the same bytes
		edits            edits
	}{
		{"no edits", `{ "HostConfig": {"Binds": ["/home/a:/a"]}}`, "", edits{}},
		{"a path that stays", `{ "HostConfig" : {"Binds":["/usr:/a"]} }`, "", edits{path: sharedOnly}},
		{
			"binds", `{"HostConfig":{"Binds":["/home/a:/a","/home/b:/b:ro,z","/usr:/c","vol:/d","vol:/home/e:ro"]}}`,
			`{"HostConfig":{"Binds":["/mnt/home/a:/a","/mnt/home/b:/b:ro,z","/usr:/c","vol:/d","vol:/home/e:ro"]}}`,
			edits{path: sharedOnly},
		},
		{"binds without a source, with a mode for a place, with too much", `{"HostConfig":{"Binds":["/home/a","/home/a:ro","/home/a:/b:ro:x","",7,null]}}`, "", edits{path: sharedOnly}},
		{
			"mounts", `{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/home/a","Target":"/a"},{"Type":"volume","Source":"/home/a","Target":"/b"},{"Type":"bind","Source":"home","Target":"/c"}]}}`,
			`{"HostConfig":{"Mounts":[{"Source":"/mnt/home/a","Target":"/a","Type":"bind"},{"Source":"/home/a","Target":"/b","Type":"volume"},{"Source":"home","Target":"/c","Type":"bind"}]}}`,
			edits{path: sharedOnly},
		},
		{
			"a mount of a volume that is a directory", `{"HostConfig":{"Mounts":[{"Type":"volume","Target":"/a","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/home/a"}}}}]}}`,
			`{"HostConfig":{"Mounts":[{"Target":"/a","Type":"volume","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"device":"/mnt/home/a","o":"bind","type":"none"}}}}]}}`,
			edits{path: sharedOnly},
		},
		{
			"what is not known", `{"A":1e400,"B":"<&>","HostConfig":{"Binds":["/home/a:/a"],"Memory":9007199254740993,"X":{"y":[null,true]}}}`,
			`{"A":1e400,"B":"<&>","HostConfig":{"Binds":["/mnt/home/a:/a"],"Memory":9007199254740993,"X":{"y":[null,true]}}}`,
			edits{path: sharedOnly},
		},
		{"other case", `{"hostconfig":{"binds":["/home/a:/a"]}}`, `{"hostconfig":{"binds":["/mnt/home/a:/a"]}}`, edits{path: sharedOnly}},

		{"gateway", `{"HostConfig":{"NetworkMode":"bridge"}}`, `{"HostConfig":{"ExtraHosts":["host.docker.internal:host-gateway"],"NetworkMode":"bridge"}}`, edits{gateway: true}},
		{"gateway after others", `{"HostConfig":{"ExtraHosts":["a:1.2.3.4"]}}`, `{"HostConfig":{"ExtraHosts":["a:1.2.3.4","host.docker.internal:host-gateway"]}}`, edits{gateway: true}},
		{"gateway, nothing there", `{"Image":"a"}`, `{"HostConfig":{"ExtraHosts":["host.docker.internal:host-gateway"]},"Image":"a"}`, edits{gateway: true}},
		{"gateway, null", `{"hostConfig":null}`, `{"hostConfig":{"ExtraHosts":["host.docker.internal:host-gateway"]}}`, edits{gateway: true}},
		{"gateway, null list", `{"HostConfig":{"ExtraHosts":null}}`, `{"HostConfig":{"ExtraHosts":["host.docker.internal:host-gateway"]}}`, edits{gateway: true}},
		{"gateway there", `{"HostConfig":{"ExtraHosts":["Host.Docker.Internal:10.0.0.1"]}}`, "", edits{gateway: true}},
		{"gateway there with =", `{"HostConfig":{"ExtraHosts":["host.docker.internal=10.0.0.1"]}}`, "", edits{gateway: true}},
		{"gateway, host's network", `{"HostConfig":{"NetworkMode":"host"}}`, "", edits{gateway: true}},
		{"gateway, no network", `{"HostConfig":{"NetworkMode":"none"}}`, "", edits{gateway: true}},
		{"gateway, another's network", `{"HostConfig":{"NetworkMode":"container:abc"}}`, "", edits{gateway: true}},
		{"gateway, wrong types", `{"HostConfig":"a"}`, "", edits{gateway: true}},
		{"gateway, wrong list", `{"HostConfig":{"ExtraHosts":{}}}`, "", edits{gateway: true}},

		{"both", `{"HostConfig":{"Binds":["/home/a:/a"]}}`, `{"HostConfig":{"Binds":["/mnt/home/a:/a"],"ExtraHosts":["host.docker.internal:host-gateway"]}}`, edits{sharedOnly, true}},
		{"no JSON", `{"HostConfig":`, "", edits{sharedOnly, true}},
		{"empty", ``, "", edits{sharedOnly, true}},
		{"null", `null`, "", edits{sharedOnly, true}},
		{"a list", `[{}]`, "", edits{sharedOnly, true}},
		{"more than one", `{} {}`, "", edits{sharedOnly, true}},
		{"more than JSON", `{} x`, "", edits{sharedOnly, true}},
	} {
		got, err := rewrite([]byte(c.body), c.edits.container)
		if c.want == "" {
			c.want = c.body
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
}

func TestVolumeBodies(t *testing.T) {
	for body, want := range map[string]string{
		`{"Name":"v","Driver":"local","DriverOpts":{"type":"none","o":"bind","device":"/home/a"}}`: `{"Driver":"local","DriverOpts":{"device":"/mnt/home/a","o":"bind","type":"none"},"Name":"v"}`,
		`{"DriverOpts":{"o":"ro,rbind","device":"/home/a"}}`:                                       `{"DriverOpts":{"device":"/mnt/home/a","o":"ro,rbind"}}`,
		`{"Driver":"other","DriverOpts":{"type":"none","o":"bind","device":"/home/a"}}`:            "",
		`{"Driver":"local","DriverOpts":{"type":"tmpfs","device":"tmpfs"}}`:                        "",
		`{"Driver":"local","DriverOpts":{"type":"ext4","device":"/home/a"}}`:                       "",
		`{"Name":"v"}`:        "",
		`{"DriverOpts":null}`: "",
	} {
		got, err := rewrite([]byte(body), edits{path: sharedOnly}.volume)
		if want == "" {
			want = body
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v\nwant %s", body, got, err, want)
		}
	}
}

func TestRefusedPaths(t *testing.T) {
	e := edits{path: sharedOnly}
	for body, change := range map[string]func(map[string]any) (bool, error){
		`{"HostConfig":{"Binds":["/home/a:/a","/secret/b:/b"]}}`:                 e.container,
		`{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/secret/b"}]}}`:       e.container,
		`{"Driver":"local","DriverOpts":{"o":"bind","device":"/secret/b"}}`:      e.volume,
		`{"hostconfig":{"mounts":[{"type":"bind","source":"/secret/b"}]},"a":1}`: e.container,
	} {
		if got, err := rewrite([]byte(body), change); err == nil || err.Error() != "/secret/b is not shared" {
			t.Errorf("%s: %s, %v", body, got, err)
		}
	}
}

func decoded(t *testing.T, body []byte) any {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return v
}

// without takes out what an edit may change, and the objects that are left empty by it or that it makes.
func without(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for _, key := range keys(object, "HostConfig") {
		hc, ok := object[key].(map[string]any)
		for _, name := range []string{"Binds", "Mounts", "ExtraHosts"} {
			for _, k := range keys(hc, name) {
				delete(hc, k)
			}
		}
		if object[key] == nil || ok && len(hc) == 0 {
			delete(object, key)
		}
	}
	return object
}

func FuzzRewrite(f *testing.F) {
	f.Add([]byte(`{"Image":"a","HostConfig":{"Binds":["/home/a:/a"],"Mounts":[{"Type":"bind","Source":"/home/b","X":1}],"ExtraHosts":["a:b"]},"x":[1.0,"\u00e9",null]}`))
	f.Add([]byte(`{"hostconfig":{"networkmode":"host","Binds":["/secret:/a"]}}`))
	f.Add([]byte(`{"HostConfig":null}`))
	f.Add([]byte(`{"HostConfig":{"Mounts":[{"VolumeOptions":{"DriverConfig":{"Options":{"o":"bind","device":"/home"}}}}]}} `))
	f.Fuzz(func(t *testing.T, body []byte) {
		given := slices.Clone(body)
		for _, e := range []edits{{sharedOnly, true}, {nil, true}, {sharedOnly, false}} {
			got, err := rewrite(body, e.container)
			if !bytes.Equal(body, given) {
				t.Fatalf("the body itself has changed: %q is %q", given, body)
			}
			if err != nil || bytes.Equal(got, body) {
				continue
			}
			if before, after := without(decoded(t, body)), without(decoded(t, got)); !reflect.DeepEqual(before, after) {
				t.Fatalf("%s\nis %s", body, got)
			}
			// What has been changed is what it should be.
			again, err := rewrite(got, edits{gateway: e.gateway}.container)
			if err != nil || !bytes.Equal(again, got) {
				t.Fatalf("%s\nis %s,\nthen %s, %v", body, got, again, err)
			}
		}
	})
}

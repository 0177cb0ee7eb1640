package registry

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// An entry comes and goes, and every other byte stays.
func TestEditKeepsWhatIsThere(t *testing.T) {
	for name, c := range map[string]struct{ before, set, dropped string }{
		"nothing": {
			before:  "",
			set:     "{\n\t\"auths\": {\n\t\t\"new\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t}\n}",
			dropped: "{\n\t\"auths\": {}\n}",
		},
		"null": {
			before:  "null",
			set:     "{\n\t\"auths\": {\n\t\t\"new\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t}\n}",
			dropped: "{\n\t\"auths\": {}\n}",
		},
		"docker's own": {
			before:  "{\n\t\"auths\": {\n\t\t\"a\": {},\n\t\t\"b\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t},\n\t\"detachKeys\": \"ctrl-q\"\n}",
			set:     "{\n\t\"auths\": {\n\t\t\"a\": {},\n\t\t\"b\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t},\n\t\t\"new\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t},\n\t\"detachKeys\": \"ctrl-q\"\n}",
			dropped: "{\n\t\"auths\": {\n\t\t\"a\": {},\n\t\t\"b\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t},\n\t\"detachKeys\": \"ctrl-q\"\n}",
		},
		"two blanks, other keys, an end of line": {
			before:  "{\n  \"zeta\": [1, 2.50, {\"x\":1e3}],\n  \"unknown\" : {\"k\":\"\\u00e9\"}\n}\n",
			set:     "{\n  \"zeta\": [1, 2.50, {\"x\":1e3}],\n  \"unknown\" : {\"k\":\"\\u00e9\"},\n  \"auths\": {\n    \"new\": {\n      \"auth\": \"YTpi\"\n    }\n  }\n}\n",
			dropped: "{\n  \"zeta\": [1, 2.50, {\"x\":1e3}],\n  \"unknown\" : {\"k\":\"\\u00e9\"},\n  \"auths\": {}\n}\n",
		},
		"one line": {
			before:  `{"credsStore":"x"}`,
			set:     `{"credsStore":"x", "auths": {"new": {"auth":"YTpi"}}}`,
			dropped: `{"credsStore":"x", "auths": {}}`,
		},
		"one line with entries": {
			before:  `{ "auths": { "a": {}, "b": {} } }`,
			set:     `{ "auths": { "a": {}, "b": {}, "new": {"auth":"YTpi"} } }`,
			dropped: `{ "auths": { "a": {}, "b": {} } }`,
		},
		"there already": {
			before:  "{\n  \"Auths\": {\"new\": {\"identitytoken\": \"x\"}, \"b\": {}}\n}",
			set:     "{\n  \"Auths\": {\"new\": {\"auth\":\"YTpi\"}, \"b\": {}}\n}",
			dropped: "{\n  \"Auths\": {\"b\": {}}\n}",
		},
		"null auths": {
			before:  "{\n  \"auths\": null,\n  \"b\": 1\n}",
			set:     "{\n  \"auths\": {\n    \"new\": {\n      \"auth\": \"YTpi\"\n    }\n  },\n  \"b\": 1\n}",
			dropped: "{\n  \"auths\": {},\n  \"b\": 1\n}",
		},
		"behind the object": {
			before:  "{\"auths\":{}}\nwhat docker does not read",
			set:     "{\"auths\":{\"new\": {\"auth\":\"YTpi\"}}}\nwhat docker does not read",
			dropped: "{\"auths\":{}}\nwhat docker does not read",
		},
	} {
		set, err := setAuth([]byte(c.before), "new", auth{Auth: "YTpi"})
		if err != nil || string(set) != c.set {
			t.Errorf("%s: %v\ngot  %s\nwant %s", name, err, set, c.set)
		}
		dropped, err := dropAuth(set, func(name string) bool { return name == "new" })
		if err != nil || string(dropped) != c.dropped {
			t.Errorf("%s, dropped: %v\ngot  %s\nwant %s", name, err, dropped, c.dropped)
		}
	}
}

// Whatever docker can read, the edit leaves something that says the same and the one entry.
func FuzzEdit(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "null0", " ", `{"auths":{}}`, `{"auths":{"a":{"auth":"x"},"b":null}}`, "{\n\t\"x\": {\"auths\": 1},\n\t\"auths\": {\n\t\t\"k\": {}\n\t}\n}\n",
		`{"a":"}{,\"","auths":{"k":{"auth":""}, "q\"":{}}}`, "{\r\n \"AUTHS\" : null }", `[]`, `{"auths":{"k":{},"k":{"auth":"z"}}}`,
	} {
		f.Add(seed, "k")
		f.Add(seed, "example.com")
	}
	f.Fuzz(func(t *testing.T, text, key string) {
		if _, err := parse("f", []byte(text)); err != nil {
			t.Skip()
		}
		want := auth{Auth: "YTpi"}
		after, err := setAuth([]byte(text), key, want)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got, err := parse("f", after)
		valid := strings.ToValidUTF8(key, "�") == key
		if err != nil || valid && !twice(text) && got.Auths[key] != want {
			t.Fatalf("%q became %q: %v, %v", text, after, got.Auths, err)
		}
		gone, err := dropAuth(after, func(name string) bool { return name == key })
		if err != nil {
			t.Fatalf("%q: %v", after, err)
		}
		left, err := parse("f", gone)
		if _, there := left.Auths[key]; err != nil || there && valid && !twice(text) {
			t.Fatalf("%q became %q: %v, %v", after, gone, left.Auths, err)
		}
		if a, b := rest(text), rest(string(gone)); !reflect.DeepEqual(a, b) {
			t.Fatalf("%q became %q", text, gone)
		}
	})
}

// twice reports whether the text has auths in more than one place; docker joins them, and the
// edit is refused by who asked for it.
func twice(text string) bool {
	return strings.Count(strings.ToLower(text), "auths") > 1 || strings.Contains(text, `\u`)
}

// rest is all that a text says but auths.
func rest(text string) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	_ = json.NewDecoder(strings.NewReader(text)).Decode(&all)
	for name := range all {
		if strings.EqualFold(name, "auths") {
			delete(all, name)
		}
	}
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	return all
}

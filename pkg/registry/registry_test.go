package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// The test binary is also a credential helper: a real process, by docker's protocol.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "docker-credential-") {
		os.Exit(fakeHelper(os.Args[1]))
	}
	os.Exit(m.Run())
}

// fakeHelper keeps what it is given in the file FAKE_STORE, and notes each call in it.
// FAKE_FAIL is what it fails with instead.
func fakeHelper(action string) int {
	input, _ := io.ReadAll(os.Stdin)
	var s fakeStore
	s.load()
	s.Calls = append(s.Calls, action+" "+strings.TrimSpace(string(input)))
	if os.Getenv("FAKE_SECRETS_IN_CALLS") == "" && action == "store" {
		s.Calls[len(s.Calls)-1] = action
	}
	defer s.save()
	if fail, ok := os.LookupEnv("FAKE_FAIL"); ok {
		fmt.Println(strings.ReplaceAll(fail, "INPUT", string(input)))
		return 1
	}
	switch action {
	case "get":
		got, ok := s.Kept[string(input)]
		if !ok {
			fmt.Println("credentials not found in native keychain")
			return 1
		}
		_ = json.NewEncoder(os.Stdout).Encode(got)
	case "store":
		var got kept
		_ = json.Unmarshal(input, &got)
		s.Kept[got.ServerURL] = got
	case "erase":
		delete(s.Kept, string(input))
	}
	return 0
}

type fakeStore struct {
	Kept  map[string]kept
	Calls []string
}

func (s *fakeStore) load() {
	text, _ := os.ReadFile(os.Getenv("FAKE_STORE"))
	s.Kept = map[string]kept{}
	_ = json.Unmarshal(text, s)
}

func (s *fakeStore) save() {
	text, _ := json.Marshal(s)
	_ = os.WriteFile(os.Getenv("FAKE_STORE"), text, 0o600)
}

// bench is a home directory with a config.json and the helper "fake" in PATH.
type bench struct {
	*Config
	dir   string
	store string
}

func newBench(t *testing.T, config string, environ ...string) *bench {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{dir: dir, store: filepath.Join(dir, "store")}
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, ".docker"), 0o700),
		os.Mkdir(filepath.Join(dir, "bin"), 0o700),
		os.Symlink(self, filepath.Join(dir, "bin", "docker-credential-fake")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if config != "" {
		if err := os.WriteFile(filepath.Join(dir, ".docker", "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.Config = Open(append([]string{"HOME=" + dir, "PATH=" + filepath.Join(dir, "bin"), "FAKE_STORE=" + b.store, "GORACE=atexit_sleep_ms=0"}, environ...))
	return b
}

func (b *bench) keeps(t *testing.T, all ...kept) {
	t.Helper()
	s := fakeStore{Kept: map[string]kept{}}
	for _, k := range all {
		s.Kept[k.ServerURL] = k
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.store, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) helper(t *testing.T) (s fakeStore) {
	t.Helper()
	if text, err := os.ReadFile(b.store); err == nil {
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (b *bench) config(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(b.Path())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	none  = guest.Credentials{}
	robin = guest.Credentials{Username: "robin", Secret: "s3cret"}
)

const robinAuth = `{"auth": "cm9iaW46czNjcmV0"}`

// A registry has many names; docker keeps it under one.
func TestCredentialsOfTheFile(t *testing.T) {
	for _, c := range []struct {
		kept, asked string
		want        guest.Credentials
	}{
		{"example.com", "example.com", robin},
		{"example.com", "https://example.com", robin},
		{"example.com", "https://example.com/v2/", robin},
		{"example.com", "example.com:443", robin},
		{"example.com", "example.com:5000", none},
		{"example.com", "http://example.com:80", none},
		{"example.com", "www.example.com", none},
		{"example.com:443", "example.com", robin},
		{"example.com:5000", "example.com:5000", robin},
		{"example.com:5000", "example.com", none},
		{"https://example.com/v1/", "example.com", robin},
		{"http://example.com:5000", "example.com:5000", robin},
		{"localhost:5000", "localhost:5000", robin},
		{"[::1]:5000", "[::1]:5000", robin},
		{"https://index.docker.io/v1/", "docker.io", robin},
		{"https://index.docker.io/v1/", "", robin},
		{"https://index.docker.io/v1/", "index.docker.io", robin},
		{"https://index.docker.io/v1/", "https://index.docker.io/v1/", robin},
		{"https://index.docker.io/v1/", "registry-1.docker.io", robin},
		{"https://index.docker.io/v1/", "https://registry-1.docker.io:443", robin},
		{"docker.io", "https://index.docker.io/v1/", robin},
		{"https://index.docker.io/v1/access-token", "docker.io", none},
		{"https://index.docker.io/v1/", "hub.docker.io", none},
	} {
		b := newBench(t, fmt.Sprintf(`{"auths": {%q: %s}}`, c.kept, robinAuth))
		got, err := b.Credentials(t.Context(), c.asked)
		if err != nil || got != c.want {
			t.Errorf("%q, kept as %q: %v, %v", c.asked, c.kept, got, err)
		}
	}
}

func TestCredentialsInEveryForm(t *testing.T) {
	for entry, want := range map[string]guest.Credentials{
		`{"auth": "cm9iaW46czNjcmV0"}`:                           robin,
		`{"username": "robin", "password": "s3cret"}`:            robin,
		`{"auth": "cm9iaW46czNjcmV0", "username": "x"}`:          robin,
		`{"identitytoken": "t0ken"}`:                             {Username: "<token>", Secret: "t0ken"},
		`{"auth": "cm9iaW46czNjcmV0", "identitytoken": "t0ken"}`: {Username: "<token>", Secret: "t0ken"},
		`{"auth": "cm9iaW46YTpiOg=="}`:                           {Username: "robin", Secret: "a:b:"},
		`{}`:                                                     none,
		`null`:                                                   none,
		`{"email": "robin@example.com"}`:                         none,
	} {
		got, err := newBench(t, `{"auths": {"example.com": `+entry+`}}`).Credentials(t.Context(), "example.com")
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", entry, got, err)
		}
	}
	for _, config := range []string{"", "{}", "null", " \n", `{"auths": null}`, `{"credHelpers": null}`} {
		if got, err := newBench(t, config).Credentials(t.Context(), "example.com"); err != nil || got != none {
			t.Errorf("%q: %v, %v", config, got, err)
		}
	}
	if got, err := Open(nil).Credentials(t.Context(), "example.com"); err != nil || got != none {
		t.Errorf("without a home: %v, %v", got, err)
	}
}

func TestDockerConfigAndDockerAuthConfigAreKept(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"auths": {"a": `+robinAuth+`, "b": `+robinAuth+`}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Open([]string{"HOME=/nowhere", "DOCKER_CONFIG=" + dir, `DOCKER_AUTH_CONFIG={"auths": {"b": {"auth": "YTpi"}}}`})
	if got, err := c.Credentials(t.Context(), "a"); err != nil || got != robin {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.Credentials(t.Context(), "b"); err != nil || got != (guest.Credentials{Username: "a", Secret: "b"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// What a helper keeps is asked of it, not of the file, and once however often it is looked up.
func TestCredentialsOfAHelper(t *testing.T) {
	b := newBench(t, `{"credsStore": "fake", "credHelpers": {"plain.example.com": ""}, "auths": {"other.example.com": `+robinAuth+`, "plain.example.com": `+robinAuth+`}}`)
	b.keeps(t,
		kept{"https://index.docker.io/v1/", "robin", "s3cret"},
		kept{"example.com:443", "<token>", "t0ken"})
	for registry, want := range map[string]guest.Credentials{
		"docker.io":          robin,
		"index.docker.io":    robin,
		"example.com":        {Username: "<token>", Secret: "t0ken"},
		"other.example.com":  none,
		"plain.example.com":  robin,
		"https://ghcr.io":    none,
		"ghcr.io:443":        none,
		"http://ghcr.io:443": none,
		"ghcr.io":            none,
	} {
		if got, err := b.Credentials(t.Context(), registry); err != nil || got != want {
			t.Errorf("%s: %v, %v", registry, got, err)
		}
	}
	calls := b.helper(t).Calls
	slices.Sort(calls)
	want := []string{
		"get example.com", "get example.com:443", "get ghcr.io", "get ghcr.io:443", "get https://index.docker.io/v1/",
		"get other.example.com", "get other.example.com:443",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("the helper was asked %q", calls)
	}
}

// Every error that a configuration or a helper causes names the file and says what is wrong.
func TestErrorsOfLookingUp(t *testing.T) {
	for _, c := range []struct {
		config string
		env    string
		text   string
		hint   string
	}{
		{
			config: "{\n  \"auths\": {},\n}",
			text:   "reading CONFIG: line 3: invalid character '}' looking for beginning of object key string",
			hint:   "mend it, or move it away and log in again",
		},
		{
			config: "{\n  \"auths\": {", text: "reading CONFIG: unexpected EOF",
			hint: "mend it, or move it away and log in again",
		},
		{
			config: `[]`, text: "reading CONFIG: line 1 is of the kind array, not object",
			hint: "mend it, or move it away and log in again",
		},
		{
			config: "{\n  \"credsStore\": 17}", text: "reading CONFIG: line 2: credsStore is of the kind number, not string",
			hint: "mend it, or move it away and log in again",
		},
		{
			config: "{\n  \"auths\": {\"example.com\": {\"auth\": 1234}}}", text: "reading CONFIG: line 2: auths.auth is of the kind number, not string",
			hint: "mend it, or move it away and log in again",
		},
		{
			config: `{"auths": {"example.com": {"auth": "s3cret"}}}`,
			text:   "reading CONFIG: auths: example.com: auth is not the base64 of user:password",
			hint:   "log in again: linnet login example.com",
		},
		{config: `{"auths": {"another.example.com": {"auth": "s3cret"}}}`, text: ""},
		{
			config: `{"credsStore": "nest"}`,
			text:   "the credential helper docker-credential-nest, which CONFIG names, is not in PATH",
			hint:   "install it, or take it out of credsStore or credHelpers there",
		},
		{config: `{"credHelpers": {"example.com": "../../bin/sh"}}`, text: `reading CONFIG: "../../bin/sh" is not the name of a credential helper`},
		{config: `{"credsStore": "fake"}`, env: "FAKE_FAIL=the keychain is locked", text: "docker-credential-fake get: the keychain is locked"},
		{config: `{"credsStore": "fake"}`, env: "FAKE_FAIL=", text: "docker-credential-fake get: exit status 1"},
		{
			config: `{}`, env: `DOCKER_AUTH_CONFIG={"auths": 1}`, text: "reading DOCKER_AUTH_CONFIG: line 1: auths is of the kind number, not object",
			hint: "mend it, or move it away and log in again",
		},
	} {
		b := newBench(t, c.config, c.env)
		got, err := b.Credentials(t.Context(), "https://example.com")
		want := ""
		if c.text != "" {
			want = "looking up the credentials of example.com: " + strings.ReplaceAll(c.text, "CONFIG names", b.Path()+" names")
			want = strings.ReplaceAll(want, "reading CONFIG", "reading "+b.Path())
		}
		if text := errorText(err); got != none || text != want || hintText(err) != c.hint {
			t.Errorf("%s %s: %v\ngot  %s\nwant %s\nhint %s", c.config, c.env, got, text, want, hintText(err))
		}
	}
}

func TestRegistriesForCompletion(t *testing.T) {
	b := newBench(t, `{"credsStore": "fake", "credHelpers": {"gcr.io": "gcloud"}, "auths": {"https://index.docker.io/v1/": {}, "https://example.com": {}, "example.com": {}}}`)
	if got := b.Registries(); !slices.Equal(got, []string{"docker.io", "example.com", "gcr.io"}) {
		t.Errorf("%q", got)
	}
	if calls := b.helper(t).Calls; len(calls) > 0 {
		t.Errorf("the helper was asked %q", calls)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

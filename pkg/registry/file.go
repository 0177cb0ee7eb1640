package registry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// envAuths is a variable that holds credentials as the file's auths do.
const envAuths = "DOCKER_AUTH_CONFIG"

// tokenUser stands for the user where the secret is an identity token.
const tokenUser = "<token>"

// IsToken reports whether credentials are an identity token, not a user's password.
func IsToken(c guest.Credentials) bool { return c.Username == tokenUser }

// file is what docker's configuration says of credentials
// (https://docs.docker.com/reference/cli/docker/#configuration-files).
type file struct {
	Auths   map[string]auth   `json:"auths"`
	Store   string            `json:"credsStore"`
	Helpers map[string]string `json:"credHelpers"`

	name string // for errors
}

type auth struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
}

// read reads the configuration; none is an empty one.
func (c *Config) read() (file, error) {
	text, err := c.text()
	if err != nil {
		return file{}, err
	}
	return parse(c.path, text)
}

func (c *Config) text() ([]byte, error) {
	if c.path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading docker's configuration: %w", err)
	}
	return text, nil
}

func parseEnv(text string) (file, error) { return parse(envAuths, []byte(text)) }

// parse reads one JSON value, as docker does. Its errors quote nothing of the text that could
// be a secret.
func parse(name string, text []byte) (file, error) {
	f := file{name: name}
	err := json.NewDecoder(bytes.NewReader(text)).Decode(&f)
	if err == nil || errors.Is(err, io.EOF) {
		return f, nil
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		err = fmt.Errorf("reading %s: line %d: %w", name, line(text, syntax.Offset), err)
	case errors.As(err, &kind):
		what, _, _ := strings.Cut(kind.Value, " ") // a number's digits follow
		where := fmt.Sprintf("line %d", line(text, kind.Offset))
		if kind.Field != "" {
			where += ": " + kind.Field
		}
		err = fmt.Errorf("reading %s: %s is of the kind %s, not %s", name, where, what, jsonKind(kind.Type))
	default:
		err = fmt.Errorf("reading %s: %w", name, err)
	}
	return f, &hint.Error{Err: err, Fix: "mend it, or move it away and log in again"}
}

func line(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(int(offset), len(text))], []byte("\n"))
}

func jsonKind(t reflect.Type) string {
	if t.Kind() == reflect.String {
		return "string"
	}
	return "object"
}

// helper is the suffix of the program that keeps what is filed under key; empty means that
// the file does.
func (f file) helper(key string) string {
	if helper, ok := f.Helpers[key]; ok {
		return helper
	}
	return f.Store
}

// find looks for an entry under a key, and under the addresses that older programs wrote.
func (f file) find(key string) (guest.Credentials, error) {
	if a, ok := f.Auths[key]; ok {
		return f.decode(key, a)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Auths)) {
		if sameRegistry(name, key) {
			return f.decode(name, f.Auths[name])
		}
	}
	return guest.Credentials{}, nil
}

// sameRegistry reports whether an entry's name is another for key. Hub's is a matter of its own:
// below its address docker also keeps tokens of other purposes.
func sameRegistry(name, key string) bool {
	if key == hubKey {
		return name == Hub || name == hubHost
	}
	return hostOf(name) == key
}

func (f file) decode(name string, a auth) (guest.Credentials, error) {
	if a.IdentityToken != "" {
		return guest.Credentials{Username: tokenUser, Secret: a.IdentityToken}, nil
	}
	if a.Auth == "" {
		return guest.Credentials{Username: a.Username, Secret: a.Password}, nil
	}
	text, err := base64.StdEncoding.DecodeString(a.Auth)
	user, password, ok := strings.Cut(strings.TrimRight(string(text), "\x00"), ":")
	if err != nil || !ok || user == "" {
		return guest.Credentials{}, hint.With(fmt.Errorf("reading %s: auths: %s: auth is not the base64 of user:password", f.name, name),
			"log in again: linnet login "+Shown(name))
	}
	return guest.Credentials{Username: user, Secret: password}, nil
}

// entry is how the file keeps credentials.
func entry(with guest.Credentials) auth {
	switch with.Username {
	case "":
		return auth{}
	case tokenUser:
		return auth{IdentityToken: with.Secret}
	default:
		return auth{Auth: base64.StdEncoding.EncodeToString([]byte(with.Username + ":" + with.Secret))}
	}
}

// write replaces the file's text: whole or not at all, through a symbolic link, and for its
// owner's eyes.
func (c *Config) write(text []byte) error {
	if c.path == "" {
		return &hint.Error{Err: errors.New("finding docker's configuration: neither DOCKER_CONFIG nor HOME is set"), Fix: "set HOME"}
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return fmt.Errorf("making the directory of docker's configuration: %w", err)
	}
	target := c.path
	if resolved, err := filepath.EvalSymlinks(target); err == nil {
		target = resolved
	}
	before, _ := os.Stat(target)
	if err := host.WriteFile(target, text, 0o600); err != nil {
		return err
	}
	if before == nil {
		return nil
	}
	// Under sudo it stays its owner's; where that cannot be done, it is ours.
	if st, ok := before.Sys().(*syscall.Stat_t); ok {
		_ = os.Chown(target, int(st.Uid), int(st.Gid))
	}
	return nil
}

// Package dockercontext reads and writes Docker contexts: the small files in Docker's configuration directory that give an
// engine's address a name. The form is that of github.com/docker/cli/cli/context/store. It is written here because that
// library, with what it links, would make each start of the client slower.
//
// The package must not know any engine. It changes config.json, which is the user's own file, never.
package dockercontext

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Default is the name of the context that docker uses where no other is chosen; no file stands for it.
const Default = "default"

// endpoint is the name of the one endpoint that docker knows, and dirMode and fileMode are docker's own modes: a context holds no secret.
const (
	endpoint          = "docker"
	dirMode, fileMode = 0o755, 0o644
)

// Context is a Docker context.
type Context struct {
	Name        string
	Description string
	// Host is the engine's address, such as unix:///run/user/1000/docker.sock; empty in a context without a docker endpoint.
	Host string
}

// Store is the part of Docker's configuration directory that holds contexts. Nothing is read before it is asked for.
type Store struct{ dir string }

// Open finds the directory by the environment (lookup, as os.LookupEnv): DOCKER_CONFIG, or .docker in HOME. It is an error
// when neither is set.
func Open(lookup func(name string) (string, bool)) (Store, error) {
	dir, _ := lookup("DOCKER_CONFIG")
	if home, _ := lookup("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".docker")
	}
	if dir == "" {
		return Store{}, hint.New("finding docker's configuration: neither DOCKER_CONFIG nor HOME is set", "set HOME")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Store{}, fmt.Errorf("finding docker's configuration: %w", err)
	}
	return Store{dir}, nil
}

// ConfigFile is docker's config.json, which chooses a context.
func (s Store) ConfigFile() string { return filepath.Join(s.dir, "config.json") }

// Path is the file of a context.
func (s Store) Path(name string) string { return filepath.Join(s.dir, metaFile(name)) }

// metaFile is a context's file, and tlsDir the directory of its keys, relative to Docker's configuration directory. Docker names
// both by the SHA-256 of the context's name.
func metaFile(name string) string { return filepath.Join("contexts", "meta", id(name), "meta.json") }

func tlsDir(name string) string { return filepath.Join("contexts", "tls", id(name)) }

func id(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// meta is a context's file.
type meta struct {
	Name      string
	Metadata  map[string]any
	Endpoints map[string]metaEndpoint
}

type metaEndpoint struct {
	Host          string `json:",omitempty"`
	SkipTLSVerify bool
}

// Find reads a context; ok reports whether there is one.
func (s Store) Find(name string) (c Context, ok bool, err error) {
	text, err := os.ReadFile(s.Path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, false, nil
	case err != nil:
		return c, false, fmt.Errorf("reading docker's context %q: %w", name, hint.PathCause(err))
	}
	var m meta
	if err := json.Unmarshal(text, &m); err != nil {
		return c, false, hint.With(fmt.Errorf("reading docker's context %q: %s: %w", name, s.Path(name), err), "docker context rm --force "+name)
	}
	c.Name, c.Host = m.Name, m.Endpoints[endpoint].Host
	c.Description, _ = m.Metadata["Description"].(string)
	return c, true, nil
}

// Current is the name of the context that config.json chooses. DOCKER_HOST and DOCKER_CONTEXT go before it.
func (s Store) Current() (string, error) {
	path := s.ConfigFile()
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Default, nil
	case err != nil:
		return "", fmt.Errorf("reading docker's configuration: %w", hint.PathCause(err))
	}
	var config struct{ CurrentContext string }
	if err := json.Unmarshal(text, &config); err != nil {
		return "", hint.With(fmt.Errorf("reading %s: %w", path, err), "mend it, or move it away")
	}
	if config.CurrentContext == "" {
		return Default, nil
	}
	return config.CurrentContext, nil
}

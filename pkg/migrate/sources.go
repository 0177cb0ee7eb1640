package migrate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/linnet-dev/linnet/pkg/dockercontext"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// Source is an engine with Docker's API that may be on this host.
type Source struct {
	// Name is a word that chooses it: docker, desktop, colima, podman, rancher, orbstack.
	Name   string `json:"name"`
	Socket string `json:"socket"`
}

// Host is what the search asks this host for.
type Host struct {
	LookupEnv func(name string) (string, bool)
	Home      string
	// Own is the socket of linnet's own engine, which is no source; empty is none.
	Own string
}

// names are the words that choose a source, in the order in which they are looked for.
var names = []string{"docker", "desktop", "colima", "podman", "rancher", "orbstack"}

// places are the sockets that are usual, by the source's name: patterns of filepath.Glob. They are absolute.
func (h Host) places(name string) []string {
	env := func(name string) string { value, _ := h.LookupEnv(name); return value }
	home := func(rest string) string { return filepath.Join(h.Home, rest) }
	switch name {
	case "docker":
		return slices.Concat(h.configured(), []string{"/var/run/docker.sock", filepath.Join(env("XDG_RUNTIME_DIR"), "docker.sock")})
	case "desktop":
		return []string{home(".docker/run/docker.sock"), home(".docker/desktop/docker.sock")}
	case "colima":
		return []string{home(".colima/*/docker.sock"), home(".config/colima/*/docker.sock")}
	case "podman":
		return []string{
			filepath.Join(env("TMPDIR"), "podman/*-api.sock"), home(".local/share/containers/podman/machine/*.sock"),
			home(".local/share/containers/podman/machine/*/*.sock"), filepath.Join(env("XDG_RUNTIME_DIR"), "podman/podman.sock"), "/run/podman/podman.sock",
		}
	case "rancher":
		return []string{home(".rd/docker.sock")}
	case "orbstack":
		return []string{home(".orbstack/run/docker.sock")}
	}
	return nil
}

// configured are the sockets that docker's own command line would use: DOCKER_HOST, and the current context's.
func (h Host) configured() (sockets []string) {
	if host, ok := h.LookupEnv("DOCKER_HOST"); ok {
		sockets = append(sockets, strings.TrimPrefix(host, "unix://"))
	}
	store, err := dockercontext.Open(func(name string) (string, bool) {
		if name == "HOME" {
			return h.Home, true
		}
		return h.LookupEnv(name)
	})
	if err != nil {
		return sockets
	}
	current, _ := h.LookupEnv("DOCKER_CONTEXT")
	if current == "" {
		current, _ = store.Current() // what cannot be read names no socket
	}
	if c, ok, err := store.Find(current); ok && err == nil {
		sockets = append(sockets, strings.TrimPrefix(c.Host, "unix://"))
	}
	return sockets
}

// Find lists the engines that answer, of one name or, with "", of all; each socket stands once, links resolved.
func (h Host) Find(ctx context.Context, name string) (found []Source) {
	for _, s := range h.Sockets(name) {
		if answers(ctx, s.Socket) {
			found = append(found, s)
		}
	}
	return found
}

// Sockets lists the sockets that are there, of one name or, with "", of all, and asks none; each stands once, links resolved.
func (h Host) Sockets(name string) (found []Source) {
	var sockets []string
	for _, n := range names {
		if name != "" && n != name {
			continue
		}
		for _, pattern := range h.places(n) {
			if !filepath.IsAbs(pattern) {
				continue // a variable that is not set, or a host elsewhere
			}
			matches, _ := filepath.Glob(pattern) // the patterns are fine
			for _, path := range matches {
				real, err := filepath.EvalSymlinks(path)
				if err != nil || h.isOwn(real) || slices.Contains(sockets, real) {
					continue
				}
				sockets = append(sockets, real)
				found = append(found, Source{n, path})
			}
		}
	}
	return found
}

// isOwn reports whether a path, links resolved, is linnet's own socket.
func (h Host) isOwn(real string) bool {
	own, err := filepath.EvalSymlinks(h.Own)
	return err == nil && h.Own != "" && own == real
}

func answers(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return Open(socket).Answers(ctx) == nil
}

// reason is why a socket could not be used, without its path.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// Choose returns the engine that a user means: by a socket's path, by a name, or, with "", the only one that answers. found are those
// that were.
func (h Host) Choose(ctx context.Context, from string) (source Source, found []Source, err error) {
	from = strings.TrimPrefix(from, "unix://")
	switch {
	case from == "finch":
		return source, nil, hint.New("finch has no socket with Docker's API", "finch save IMAGE | linnet load; a volume: finch run --rm -v NAME:/v IMAGE tar -c -C /v . >FILE")
	case filepath.IsAbs(from):
		if real, err := filepath.EvalSymlinks(from); err == nil && h.isOwn(real) {
			return source, nil, hint.New(from+" is the socket of linnet's own engine", "name another engine's socket")
		}
		if err := Open(from).Answers(ctx); err != nil {
			return source, nil, hint.With(fmt.Errorf("no engine answers at %s: %w", from, reason(err)), "start it, or name another socket")
		}
		return Source{"socket", from}, []Source{{"socket", from}}, nil
	case from != "" && !slices.Contains(names, from):
		return source, nil, hint.New(fmt.Sprintf("--from: %q is not a source", from), "a socket's path, or one of "+strings.Join(names, ", "))
	}
	found = h.Find(ctx, from)
	switch len(found) {
	case 0:
		return source, nil, hint.With(errors.New("no other engine answers on this host"), "start it, or name its socket: --from /path/docker.sock")
	case 1:
		return found[0], found, nil
	}
	var all []string
	for _, s := range found {
		all = append(all, s.Name+" ("+s.Socket+")")
	}
	return source, found, hint.New("more than one engine answers: "+strings.Join(all, ", "), "choose one: --from "+found[0].Socket)
}

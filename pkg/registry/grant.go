package registry

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// othersMax is how many registries that no line or file has named are answered for, where a line may need such.
const othersMax = 16

// Grant answers for the registries that one command needs, one at a time, and for no other: who
// asks is an engine that may be elsewhere, and in an attacker's hands. It may be used by several
// goroutines.
type Grant struct {
	config    *Config
	hostsDirs []string

	mu      sync.Mutex
	allowed map[string]bool // by the first of a registry's keys
	fresh   []string        // registries whose mirrors were not looked for yet
	open    bool            // AllowOthers was called
	others  int             // how many more may be asked for that were not named
	refused map[string]bool // as shown; no more than a few
	more    int             // how often something else was refused
}

// Grant makes one. hostsDirs are the directories of registries' hosts.toml: a mirror of a registry
// may be asked for in its place.
func (c *Config) Grant(hostsDirs ...string) *Grant {
	return &Grant{config: c, hostsDirs: hostsDirs, allowed: map[string]bool{}, refused: map[string]bool{}}
}

// Allow adds registries.
func (g *Grant) Allow(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		if key := keys(name)[0]; !g.allowed[key] {
			g.allowed[key] = true
			g.fresh = append(g.fresh, name)
		}
	}
}

// AllowOthers says that the command may need registries that the client cannot name. A few of them
// are answered for.
func (g *Grant) AllowOthers() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open { // once: a command may have many builds
		g.open, g.others = true, othersMax
	}
}

// Credentials are what Config.Credentials says of a registry that is allowed; of any other, that
// there are none.
func (g *Grant) Credentials(ctx context.Context, registry string) (guest.Credentials, error) {
	if !g.allows(registry) {
		return guest.Credentials{}, nil
	}
	return g.config.Credentials(ctx, registry)
}

func (g *Grant) allows(registry string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := keys(registry)[0]
	if g.allowed[key] {
		return true
	}
	for _, name := range g.fresh { // not before it matters: most commands need no mirror
		for _, mirror := range mirrors(g.hostsDirs, name) {
			g.allowed[keys(mirror)[0]] = true
		}
	}
	g.fresh = nil
	switch {
	case g.allowed[key]:
		return true
	case g.others > 0 && plainAddress.MatchString(hostOf(registry)):
		g.others--
		g.allowed[key] = true
		return true
	}
	if shown := fmt.Sprintf("%.100q", Shown(registry)); len(g.refused) < 3 || g.refused[shown] {
		g.refused[shown] = true
	} else {
		g.more++
	}
	return false
}

// plainAddress is what a registry's address is made of.
var plainAddress = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?$|^\[[0-9A-Fa-f:.]+\](:[0-9]+)?$`)

// Refused says which registries were asked for and not answered for; empty when there are none.
func (g *Grant) Refused() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.refused) == 0 {
		return ""
	}
	text := strings.Join(slices.Sorted(maps.Keys(g.refused)), ", ")
	if g.more > 0 {
		text += fmt.Sprintf(" and more (%d times)", g.more)
	}
	return "the engine asked for the credentials of " + text + ": it was given none, since the command does not name that registry"
}

// hostsMax is the largest hosts.toml that is read, in bytes.
const hostsMax = 256 << 10

// hostsEntry is where a hosts.toml names a registry: [host."https://mirror:5000"], server = "...".
var hostsEntry = regexp.MustCompile(`(?m)^\s*(?:\[host\.["']|server\s*=\s*["'])([^"']+)["']`)

// mirrors are the registries that are asked in a registry's place, by the first hosts.toml of it
// (https://github.com/containerd/containerd/blob/main/docs/hosts.md).
func mirrors(hostsDirs []string, registry string) (all []string) {
	host := Shown(registry)
	name, port, _ := strings.Cut(host, ":")
	names := []string{host, name + "_" + port + "_", name, "_default"}
	for _, dir := range hostsDirs {
		for _, name := range names {
			text, err := readSome(filepath.Join(dir, name, "hosts.toml"), hostsMax)
			if err != nil {
				continue
			}
			for _, found := range hostsEntry.FindAllStringSubmatch(text, -1) {
				all = append(all, hostOf(found[1]))
			}
			return all
		}
	}
	return nil
}

func readSome(path string, most int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most))
	return string(text), err
}

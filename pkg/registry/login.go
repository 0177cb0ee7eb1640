package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// Login asks a registry whether it takes the credentials, and keeps them if it does: with the
// credential helper that the configuration names for it, else in the file. There they are
// merely encoded; plain says that this is so.
func (c *Config) Login(ctx context.Context, registry string, with guest.Credentials, how Access) (plain bool, err error) {
	f, err := c.read() // before the registry is bothered
	if err != nil {
		return false, err
	}
	if err := verify(ctx, registry, with, how); err != nil {
		return false, fmt.Errorf("logging in to %s: %w", Shown(registry), err)
	}
	key := keptAs(registry)
	value := entry(with)
	if helper := f.helper(key); helper != "" {
		if err := c.keep(ctx, helper, key, with); err != nil {
			return false, fmt.Errorf("keeping the credentials of %s: %w", Shown(registry), err)
		}
		value = auth{} // docker notes there that a helper has it
	}
	if known, ok := f.Auths[key]; ok && known == value {
		return value != auth{}, nil
	}
	err = c.edit(
		func(text []byte) ([]byte, error) { return setAuth(text, key, value) },
		func(f file) bool { return f.Auths[key] == value },
	)
	return value != auth{}, err
}

// Logout forgets the credentials of a registry, and reports whether there were any.
func (c *Config) Logout(ctx context.Context, registry string) (known bool, err error) {
	f, err := c.read()
	if err != nil {
		return false, err
	}
	for _, key := range c.forgettable(registry) {
		helper := f.helper(key)
		if helper == "" {
			continue
		}
		// Helpers differ in what they say of what they do not have; so they are asked first.
		got, err := c.ask(ctx, helper, key)
		if err == nil && got != (guest.Credentials{}) {
			known = true
			err = c.forget(ctx, helper, key)
		}
		if err != nil {
			return known, fmt.Errorf("forgetting the credentials of %s: %w", Shown(registry), err)
		}
	}
	gone := func(name string) bool {
		return slices.Contains(c.forgettable(registry), name) ||
			slices.ContainsFunc(keys(registry), func(key string) bool { return sameRegistry(name, key) })
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(f.Auths)), gone) {
		return known, nil
	}
	return true, c.edit(
		func(text []byte) ([]byte, error) { return dropAuth(text, gone) },
		func(f file) bool { return !slices.ContainsFunc(slices.Collect(maps.Keys(f.Auths)), gone) },
	)
}

// forgettable are the names under which something of a registry is kept: its credentials, and
// the tokens that docker has from logging in to Hub in a browser.
func (c *Config) forgettable(registry string) []string {
	if keptAs(registry) == hubKey {
		return []string{hubKey, hubKey + "access-token", hubKey + "refresh-token"}
	}
	return keys(registry)
}

// edit changes the file's text. done is asked of what then can be read.
func (c *Config) edit(change func([]byte) ([]byte, error), done func(file) bool) error {
	text, err := c.text()
	if err != nil {
		return err
	}
	changed, err := change(text)
	if err != nil {
		return fmt.Errorf("changing %s: %w", c.path, err)
	}
	after, err := parse(c.path, changed)
	if err != nil {
		return err
	}
	if !done(after) {
		return fmt.Errorf("changing %s: %w", c.path, errors.New("an entry stands there in more places than one"))
	}
	return c.write(changed)
}

// Registries are those that the file names, for completion. No helper is asked.
func (c *Config) Registries() []string {
	f, err := c.read()
	if err != nil {
		return nil
	}
	named := map[string]bool{}
	for name := range f.Auths {
		named[Shown(name)] = true
	}
	for name := range f.Helpers {
		named[Shown(name)] = true
	}
	return slices.Sorted(maps.Keys(named))
}

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// notFound is how a helper says that it has none
// (https://github.com/docker/docker-credential-helpers#development).
const notFound = "credentials not found in native keychain"

// kept is what helpers take and give.
type kept struct {
	ServerURL string
	Username  string
	Secret    string
}

// ask gets what a helper keeps under key.
func (c *Config) ask(ctx context.Context, helper, key string) (guest.Credentials, error) {
	out, err := c.run(ctx, helper, "get", key, "")
	if err != nil || out == nil {
		return guest.Credentials{}, err
	}
	var got kept
	if json.Unmarshal(out, &got) != nil {
		return guest.Credentials{}, fmt.Errorf("%s get: what it answers is no JSON object of strings", program(helper))
	}
	return guest.Credentials{Username: got.Username, Secret: got.Secret}, nil
}

// keep has a helper keep credentials.
func (c *Config) keep(ctx context.Context, helper, key string, with guest.Credentials) error {
	text, err := json.Marshal(kept{ServerURL: key, Username: with.Username, Secret: with.Secret})
	if err != nil {
		return err
	}
	_, err = c.run(ctx, helper, "store", string(text), with.Secret)
	return err
}

// forget has a helper forget them.
func (c *Config) forget(ctx context.Context, helper, key string) error {
	_, err := c.run(ctx, helper, "erase", key, "")
	return err
}

// run runs a helper with an action and its standard input, and returns what it writes; nil
// when it has none of what is asked for. secret is kept out of what it is quoted with.
func (c *Config) run(ctx context.Context, helper, action, input, secret string) ([]byte, error) {
	name := program(helper)
	if strings.Contains(helper, "/") {
		return nil, fmt.Errorf("reading %s: %q is not the name of a credential helper", c.path, helper)
	}
	var out, errs bytes.Buffer
	code, err := host.Run(ctx, host.Command{
		Argv: []string{name, action}, Env: c.environ,
		Stdin: strings.NewReader(input), Stdout: &out, Stderr: &errs,
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, hint.With(fmt.Errorf("the credential helper %s, which %s names, is not in PATH", name, c.path),
			"install it, or take it out of credsStore or credHelpers there")
	case err != nil:
		return nil, err
	case code == 0:
		return append([]byte{}, out.Bytes()...), nil
	}
	said := firstLine(out.String())
	if said == notFound {
		return nil, nil
	}
	if said == "" {
		said = firstLine(errs.String())
	}
	if said == "" {
		said = fmt.Sprintf("exit status %d", code)
	}
	if secret != "" {
		said = strings.ReplaceAll(said, secret, "***")
	}
	return nil, fmt.Errorf("%s %s: %s", name, action, said)
}

func program(helper string) string { return "docker-credential-" + helper }

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(line)
}

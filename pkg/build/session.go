package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// attach adds to the session what BuildKit may come back for: secrets, SSH, credentials.
func (s Session) attach(j *job, o options.Options) error {
	if len(o.Secrets) > 0 {
		store, err := newSecrets(s.Host, o.Secrets)
		if err != nil {
			return err
		}
		j.opt.Session = append(j.opt.Session, secretsprovider.NewSecretProvider(store))
	}
	agents, err := sshAgents(s.Host, o)
	if err != nil {
		return err
	}
	if len(agents) > 0 {
		ssh, err := sshprovider.NewSSHAgentProvider(agents)
		if err != nil {
			return &hint.Error{Err: fmt.Errorf("--ssh: %w", err), Fix: "--ssh default=SOCKET, or --ssh default=KEYFILE without a passphrase"}
		}
		j.opt.Session = append(j.opt.Session, ssh)
	}
	if s.Layout.Home != "" {
		tokenDir.Do(func() { config.SetDir(s.Layout.BuildTokens()) })
	}
	j.opt.Session = append(j.opt.Session, authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: s.credentials,
	}))
	return nil
}

// tokenDir is set once, since the library that reads it keeps it for the whole process.
var tokenDir sync.Once

// credentials answers with what this host knows of a registry. BuildKit's session makes a token
// of them where the registry gives tokens, and that alone leaves this host.
func (s Session) credentials(ctx context.Context, registry string, _ []string, _ authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
	if s.Credentials == nil {
		return types.AuthConfig{}, nil
	}
	got, err := s.Credentials(ctx, registry)
	if err != nil {
		return types.AuthConfig{}, err
	}
	if got.Username == tokenUser {
		return types.AuthConfig{ServerAddress: registry, IdentityToken: got.Secret}, nil
	}
	return types.AuthConfig{ServerAddress: registry, Username: got.Username, Password: got.Secret}, nil
}

// tokenUser stands for the user where a secret is an identity token, as credential helpers have it.
const tokenUser = "<token>"

// secretStore reads a secret when a step asks for it, and not before.
type secretStore struct {
	host options.Host
	all  map[string]options.Secret
}

// newSecrets checks that each secret is there, and how large it is; it does not read them.
func newSecrets(h options.Host, all []options.Secret) (secretStore, error) {
	s := secretStore{host: h, all: map[string]options.Secret{}}
	for _, secret := range all {
		s.all[secret.ID] = secret
		if secret.Env != "" {
			if _, ok := h.LookupEnv(secret.Env); !ok {
				return s, hint.With(fmt.Errorf("the secret %s: the variable %s is not set", secret.ID, secret.Env),
					fmt.Sprintf("set it, or take a file: --secret id=%s,src=FILE", secret.ID))
			}
			continue
		}
		info, err := os.Stat(h.Abs(secret.File))
		switch {
		case err != nil:
			err = hint.Cause(err)
		case info.IsDir():
			err = errors.New("it is a directory")
		case info.Size() > secretsprovider.MaxSecretSize:
			err = fmt.Errorf("it has %d bytes, more than %d", info.Size(), secretsprovider.MaxSecretSize)
		default:
			err = unreadable(h.Abs(secret.File))
		}
		if err != nil {
			return s, hint.With(fmt.Errorf("the secret %s: reading %s: %w", secret.ID, secret.File, err),
				fmt.Sprintf("--secret id=%s,src=FILE names the file, --secret id=%s,env=VARIABLE a variable", secret.ID, secret.ID))
		}
	}
	return s, nil
}

// unreadable says why a file cannot be read. A pipe is not opened: what it gives it gives once.
func unreadable(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return hint.Cause(err)
	}
	return f.Close()
}

// GetSecret implements secrets.SecretStore.
func (s secretStore) GetSecret(_ context.Context, id string) ([]byte, error) {
	secret, ok := s.all[id]
	if !ok {
		return nil, fmt.Errorf("%s: %w", id, secrets.ErrNotFound)
	}
	if secret.Env != "" {
		return []byte(s.host.Env(secret.Env)), nil
	}
	text, err := os.ReadFile(s.host.Abs(secret.File))
	if err != nil {
		return nil, fmt.Errorf("reading the secret %s: %w", id, hint.Cause(err))
	}
	return text, nil
}

// sshAgents finds the user's agent where no socket is named. A context that git fetches over ssh
// needs one without being asked.
func sshAgents(h options.Host, o options.Options) ([]sshprovider.AgentConfig, error) {
	var all []sshprovider.AgentConfig
	agent := h.Env("SSH_AUTH_SOCK")
	for _, a := range o.SSH {
		c := sshprovider.AgentConfig{ID: a.ID}
		for _, path := range a.Paths {
			c.Paths = append(c.Paths, h.Abs(path))
		}
		if len(c.Paths) == 0 {
			if agent == "" {
				return nil, hint.With(fmt.Errorf("--ssh %s: no SSH agent: SSH_AUTH_SOCK is not set", a.ID),
					"start one (eval $(ssh-agent); ssh-add), or name a key: --ssh "+a.ID+"=KEYFILE")
			}
			c.Paths = []string{agent}
		}
		all = append(all, c)
	}
	if len(all) == 0 && agent != "" && (strings.HasPrefix(o.Context, "git@") || strings.HasPrefix(o.Context, "ssh://")) {
		all = append(all, sshprovider.AgentConfig{ID: "default", Paths: []string{agent}})
	}
	return all, nil
}

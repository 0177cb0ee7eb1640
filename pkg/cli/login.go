package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/registry"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// exitInterrupted is what a shell shows for a program that Ctrl-C has ended.
const exitInterrupted = 130

// loginOptions is one `login`.
type loginOptions struct {
	server, user, password string
	stdin                  bool
}

// newLogin and newLogout stand in the place of nerdctl's, which run where the engine is: in a
// virtual machine there would be no credential helper to keep a password.
func (a *app) newLogin() *cobra.Command {
	var o loginOptions
	c := &cobra.Command{
		Use: "login [SERVER]", Short: "Log in to a container registry", GroupID: groupCommands, Args: atMostOne("SERVER"),
		Long: `login asks a registry, Docker Hub if none is named, whether it takes a user and a password, and keeps them where
docker does: with the credential helper that docker's config.json names (credsStore, credHelpers), else in that file.
What is not given is asked for on the terminal, unless what is kept already is accepted.

It needs no engine. An engine in a virtual machine asks for credentials when it needs them, and keeps none.`,
		Example: `  linnet login ghcr.io
  linnet login --username NAME --password-stdin ghcr.io < token`,
		ValidArgsFunction: a.completeRegistry,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.server = args[0]
			}
			if err := o.check(cmd.Flags()); err != nil {
				return err
			}
			return a.login(cmd.Context(), o)
		},
	}
	flags := c.Flags()
	flags.StringVarP(&o.user, "username", "u", "", "the user")
	flags.StringVarP(&o.password, "password", "p", "", "the password or access token, or - for standard input; others can see it")
	flags.BoolVar(&o.stdin, "password-stdin", false, "take the password or access token from standard input")
	return c
}

func (a *app) newLogout() *cobra.Command {
	c := &cobra.Command{
		Use: "logout [SERVER]", Short: "Log out from a container registry", GroupID: groupCommands, Args: atMostOne("SERVER"),
		Long: `logout forgets the credentials of a registry, Docker Hub if none is named, on this machine: with the credential helper
that docker's config.json names, and in that file. An access token stays valid until it is revoked at the registry.`,
		ValidArgsFunction: a.completeRegistry,
		RunE: func(cmd *cobra.Command, args []string) error {
			server := registry.Hub
			if len(args) == 1 {
				server = registry.Shown(args[0])
			}
			known, err := registry.Open(os.Environ()).Logout(cmd.Context(), server)
			if err != nil {
				return err
			}
			text := "Not logged in to"
			if known {
				text = "Removing login credentials for"
			}
			_, err = fmt.Fprintln(a.streams.Out, text, server)
			return err
		},
	}
	return c
}

// check refuses what cannot be meant, by docker's rules.
func (o *loginOptions) check(flags *pflag.FlagSet) error {
	if o.password == "-" {
		o.password, o.stdin = "", true
	}
	refuse := func(text, hint string) error {
		return Usage(errors.New("login: "+text), hint)
	}
	switch {
	case o.stdin && o.password != "":
		return refuse("--password and --password-stdin exclude each other", "use --password-stdin")
	case o.stdin && o.user == "":
		return refuse("--password-stdin needs --username", "linnet login --username NAME --password-stdin")
	case flags.Changed("username") && o.user == "":
		return refuse("--username is empty", "leave it out to be asked")
	case flags.Changed("password") && o.password == "" && !o.stdin:
		return refuse("--password is empty", "leave it out to be asked")
	}
	return nil
}

func (a *app) login(ctx context.Context, o loginOptions) error {
	if o.password != "" {
		fmt.Fprintln(a.streams.Err, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
	}
	s, err := a.Settings()
	if err != nil {
		return err
	}
	how := registry.Access{Insecure: s.Engine.Registries.Insecure, CertDirs: s.Engine.HostsDirs}
	for _, global := range a.global {
		if global == "--insecure-registry=true" {
			how.AllInsecure = true
		}
		if dirs, ok := strings.CutPrefix(global, "--hosts-dir="); ok {
			how.CertDirs = strings.Split(dirs, ",")
		}
	}
	c := registry.Open(os.Environ())
	if o.user == "" && o.password == "" {
		done, err := a.loginAsBefore(ctx, c, o.server, how)
		if done || err != nil {
			return err
		}
	}
	with, err := a.askFor(ctx, o)
	if err != nil {
		return err
	}
	return a.loggedIn(c.Login(ctx, o.server, with, how))
}

// loginAsBefore logs in with what is kept, as docker does when it is given nothing else. What
// the registry no longer takes is not done, and no error.
func (a *app) loginAsBefore(ctx context.Context, c *registry.Config, server string, how registry.Access) (done bool, err error) {
	with, err := c.Credentials(ctx, server)
	if err != nil {
		return false, err
	}
	if with.Secret == "" || registry.IsToken(with) {
		return false, nil
	}
	fmt.Fprintf(a.streams.Err, "Authenticating with existing credentials... [Username: %s]\n", with.Username)
	plain, err := c.Login(ctx, server, with, how)
	if errors.Is(err, registry.ErrRefused) {
		fmt.Fprintln(a.streams.Err, "Stored credentials invalid or expired")
		return false, nil
	}
	return true, a.loggedIn(plain, err)
}

func (a *app) loggedIn(plain bool, err error) error {
	if err != nil {
		return err
	}
	if plain {
		fmt.Fprintf(a.streams.Err, "WARNING! The password is kept unencrypted in %s; a credential helper (credsStore) would not do that.\n",
			registry.Open(os.Environ()).Path())
	}
	_, err = fmt.Fprintln(a.streams.Out, "Login Succeeded")
	return err
}

// askFor completes what was given, from standard input or on the terminal.
func (a *app) askFor(ctx context.Context, o loginOptions) (guest.Credentials, error) {
	with := guest.Credentials{Username: o.user, Secret: o.password}
	if o.stdin {
		text, err := io.ReadAll(a.streams.In)
		if err != nil {
			return with, fmt.Errorf("reading the password: %w", err)
		}
		// One line's end is the pipe's; all else may be the password's.
		with.Secret = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if strings.TrimSpace(with.Secret) == "" {
			return with, Usage(errors.New("login: there is no password on standard input"), "linnet login --username NAME --password-stdin < FILE")
		}
		return with, nil
	}
	for _, question := range []struct {
		prompt string
		hidden bool
		answer *string
	}{
		{"Username: ", false, &with.Username},
		{"Password: ", true, &with.Secret},
	} {
		if *question.answer != "" {
			continue
		}
		text, err := a.streams.Ask(ctx, question.prompt, question.hidden)
		switch {
		case errors.Is(err, streams.ErrInterrupted):
			return with, &silentError{code: exitInterrupted}
		case errors.Is(err, streams.ErrNoTerminal):
			return with, &hint.Error{Err: fmt.Errorf("login: %w", err), Fix: "use --username and --password-stdin"}
		case err != nil && !errors.Is(err, io.EOF):
			return with, fmt.Errorf("login: %w", err)
		}
		if !question.hidden {
			text = strings.TrimSpace(text)
		}
		if text == "" {
			return with, fmt.Errorf("login: no %s was given", strings.ToLower(strings.TrimSuffix(question.prompt, ": ")))
		}
		*question.answer = text
	}
	return with, nil
}

// completeRegistry completes the registries that docker's configuration names.
func (a *app) completeRegistry(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return registry.Open(os.Environ()).Registries(), cobra.ShellCompDirectiveNoFileComp
}

// atMostOne refuses a second positional in the field's words.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= 1 {
			return nil
		}
		return Usage(fmt.Errorf("%s takes one %s, got %q", strings.TrimPrefix(cmd.CommandPath(), "linnet "), what, args[1]),
			cmd.CommandPath()+" --help")
	}
}

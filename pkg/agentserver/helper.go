package agentserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/linnet-dev/linnet/pkg/agent"
)

// HelperName is the name under which the agent's program is a credential helper: Docker's
// configuration names it as credsStore "linnet".
const HelperName = "docker-credential-linnet"

// DockerConfig makes every program that reads Docker's configuration ask this helper alone.
const DockerConfig = `{"credsStore":"linnet"}` + "\n"

// notFound is what helpers say, and callers compare, when there are no credentials.
const notFound = "credentials not found in native keychain"

// Helper is the credential helper, as Docker's protocol has it: the action is the argument,
// the registry is on standard input, and the answer, be it an error, on standard output.
// It returns an exit code.
func Helper(ctx context.Context, args, environ []string, in io.Reader, out io.Writer) int {
	action := ""
	if len(args) == 1 {
		action = args[0]
	}
	var answer string
	var err error
	switch action {
	case "get":
		answer, err = helperGet(ctx, environ, in)
	case "list":
		answer = "{}"
	case "store", "erase":
		err = errors.New("credentials are kept on the host: use linnet login and linnet logout there")
	case "version":
		answer = HelperName + " " + agent.Version
	default:
		err = errors.New("usage: " + HelperName + " get|list|store|erase|version")
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	fmt.Fprintln(out, answer)
	return 0
}

func helperGet(ctx context.Context, environ []string, in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, dialLine))
	if err != nil {
		return "", fmt.Errorf("reading the registry: %w", err)
	}
	registry := strings.TrimSpace(string(text))
	if registry == "" {
		return "", errors.New("no credentials server URL")
	}
	token, socket := "", ""
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, credentialsVariable+"="); ok {
			token, socket, _ = strings.Cut(value, "@")
		}
	}
	if token == "" {
		return "", errors.New(notFound) // no client answers for this command
	}
	c, err := agent.DialInGuest(ctx, socket)
	if err != nil {
		return "", err
	}
	defer c.Close()
	got, err := c.Credentials(ctx, token, registry)
	if err != nil {
		return "", err
	}
	if got.Username == "" && got.Secret == "" {
		return "", errors.New(notFound)
	}
	answer, err := json.Marshal(struct{ ServerURL, Username, Secret string }{registry, got.Username, got.Secret})
	return string(answer), err
}

package lima

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/linnet-dev/linnet/pkg/host"
)

// GuestHostKey is where a machine finds the private key of its sshd: deps/image/early takes it from
// there, and the start of a machine without one fails.
const GuestHostKey = guestRun + "/ssh_host_ed25519_key"

// noHostKey is the line of a configuration in which the host key of one start comes to stand. What
// is wanted of a machine is said without it: a new key is no change.
const noHostKey = "  content: \"\" # the host key of this start\n"

// newHostKey makes the key pair of one start: private as the machine gets it, public as the relay
// takes it.
func newHostKey() (private, public string, err error) {
	open, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("making the virtual machine's host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(secret, "")
	if err != nil {
		return "", "", fmt.Errorf("making the virtual machine's host key: %w", err)
	}
	key, err := ssh.NewPublicKey(open)
	if err != nil {
		return "", "", fmt.Errorf("making the virtual machine's host key: %w", err)
	}
	return string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(key)), nil
}

// withHostKey is a configuration with the private key in it.
func withHostKey(config, private string) (string, error) {
	text, err := quote(private)
	if err != nil {
		return "", err
	}
	return strings.Replace(config, noHostKey, strings.Replace(noHostKey, `""`, text, 1), 1), nil
}

// withoutHostKey is a configuration as it was before withHostKey.
func withoutHostKey(config string) string {
	before, after, _ := strings.Cut(noHostKey, `""`)
	var kept strings.Builder
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, before) && strings.HasSuffix(line, after) {
			line = noHostKey
		}
		kept.WriteString(line)
	}
	return kept.String()
}

// tellHostKey gives a machine that is about to start a host key, and the relay the one that it is to
// take: the host decides, so that no key is ever believed because it came first.
func (m *Machine) tellHostKey(config string) error {
	l := m.o.Layout
	private, public, err := newHostKey()
	if err != nil {
		return err
	}
	if config, err = withHostKey(config, private); err != nil {
		return err
	}
	for path, text := range map[string]string{filepath.Join(l.LimaInstance(), "lima.yaml"): config, l.HostKey(): public} {
		if err := host.WriteFile(path, []byte(text), 0o600); err != nil {
			return host.HomeError(l.Home, err)
		}
	}
	return nil
}

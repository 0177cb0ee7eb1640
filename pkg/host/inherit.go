package host

import (
	"net"
	"strings"
	"time"
)

// Inherited picks out of an environment what the engine's processes may inherit of the
// user's: nothing that could be a secret. It is a closed list, explained in docs/files.md.
func Inherited(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		switch strings.ToUpper(name) {
		case "PATH", "HOME", "LANG", "TZ", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR":
			kept = append(kept, pair)
		}
	}
	return kept
}

// Listens reports whether a process accepts connections on a unix socket that DialUnix would connect to.
func Listens(socket string) bool {
	if checkSocket(socket) != nil {
		return false
	}
	c, err := net.DialTimeout("unix", socket, time.Second) //nolint:noctx // a local socket answers or refuses at once
	if err != nil {
		return false
	}
	c.Close()
	return true
}

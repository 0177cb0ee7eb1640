package gather

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/linnet-dev/linnet/pkg/doctor"
)

// The files and the patience of looking up names: a name server on the way to another one answers within a tenth of a second.
const (
	resolvConf = "/etc/resolv.conf"
	dnsLimit   = 200 * time.Millisecond
)

// dns reads the name servers, and asks all of them at once.
func (s Source) dns(ctx context.Context) doctor.DNS {
	d := doctor.DNS{File: resolvConf}
	text, ok := s.text(resolvConf)
	if !ok {
		d.Missing = true
		return d
	}
	d.Servers = parseServers(text)
	var asking sync.WaitGroup
	for i := range d.Servers {
		server := &d.Servers[i]
		server.Asked = true
		asking.Go(func() {
			server.Answered = askServer(ctx, net.JoinHostPort(server.Address, cmp.Or(s.DNSPort, "53")), cmp.Or(s.DNSLimit, dnsLimit))
		})
	}
	asking.Wait()
	return d
}

// question asks for the name servers of the root (RFC 1035, section 4): its identifier, recursion desired, one question, the
// empty name, NS, IN. Every server can answer it, with whatever code.
var question = []byte{'l', 'n', 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1}

// askServer reports whether a name server answers.
func askServer(ctx context.Context, address string, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "udp", address)
	if err != nil {
		return false
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok && c.SetDeadline(deadline) != nil {
		return false
	}
	if _, err := c.Write(question); err != nil {
		return false
	}
	answer := make([]byte, 512)
	n, err := c.Read(answer)
	const response = 0x80 // the first bit of the flags
	return err == nil && n >= 12 && answer[0] == question[0] && answer[1] == question[1] && answer[2]&response != 0
}

// proxy reads the environment; what Docker's configuration says is read with that.
func (s Source) proxy() doctor.Proxy {
	p := doctor.Proxy{Upper: map[string]string{}, Lower: map[string]string{}, Docker: map[string]string{}}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"} {
		p.Upper[name], p.Lower[name] = s.env(name), s.env(strings.ToLower(name))
	}
	config, err := s.dockerConfig()
	if err != nil {
		return p // said where the configuration is judged
	}
	set := config.Proxies["default"]
	for name, value := range map[string]string{"HTTP_PROXY": set.HTTP, "HTTPS_PROXY": set.HTTPS, "ALL_PROXY": set.All, "NO_PROXY": set.No} {
		if value != "" {
			p.Docker[name] = value
		}
	}
	return p
}

// registryLimit is how long a registry may take to answer.
const registryLimit = 5 * time.Second

// Registries asks registries, all at once, whether they answer; what they answer does not matter.
func Registries(ctx context.Context, names []string) []doctor.Registry {
	all := make([]doctor.Registry, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			all[i].Name = name
			if err := askRegistry(ctx, name); err != nil {
				all[i].Error = err.Error()
			}
		})
	}
	asking.Wait()
	return all
}

func askRegistry(ctx context.Context, name string) error {
	if name == "docker.io" {
		name = "registry-1.docker.io"
	}
	ctx, cancel := context.WithTimeout(ctx, registryLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+name+"/v2/", nil)
	if err != nil {
		return fmt.Errorf("%q is no registry's name", name)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("it does not answer within %s", registryLimit)
		}
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 500 || answer.StatusCode == http.StatusProxyAuthRequired {
		return errors.New("it answers " + answer.Status)
	}
	return nil
}

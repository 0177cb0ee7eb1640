package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// Access is how registries are reached.
type Access struct {
	// Insecure are the registries that may speak plain HTTP, or TLS that is not checked. One
	// on this host always may. AllInsecure means all.
	Insecure    []string
	AllInsecure bool
	// CertDirs are directories with certificate authorities: HOST/*.crt.
	CertDirs []string
}

// ErrRefused is what Login fails with when the registry does not take the credentials.
var ErrRefused = errors.New("the user or the password is wrong")

// patience bounds the whole conversation with a registry.
const patience = time.Minute

// verify does what a pull does first: it takes the registry's challenge, fetches a token if it
// asks for one, and sees whether it is let in
// (https://distribution.github.io/distribution/spec/api/#api-version-check).
func verify(ctx context.Context, registry string, with guest.Credentials, how Access) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	address := hostOf(registry)
	if isHub(address) {
		address = hubHost
	}
	insecure := how.AllInsecure || isLocal(address) || slices.Contains(how.Insecure, address)
	if u, err := url.Parse("https://" + address); err != nil || u.Host != address {
		return &hint.Error{Err: fmt.Errorf("%q is not the name of a registry", registry), Fix: "write it as a host, or host:port"}
	}
	base, err := newTransport(address, insecure, how.CertDirs)
	if err != nil {
		return err
	}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: &guarded{base, insecure}}
	return loginFailure(letIn(ctx, client, address, insecure, with), address)
}

// letIn is nil when the registry lets us in.
func letIn(ctx context.Context, client *http.Client, address string, insecure bool, with guest.Credentials) error {
	root := "https://" + address + "/v2/"
	_, err := get(ctx, client, root, "")
	var answered *statusError
	if !errors.As(err, &answered) && err != nil && insecure {
		plain := "http://" + address + "/v2/"
		if _, other := get(ctx, client, plain, ""); other == nil || errors.As(other, &answered) {
			root, err = plain, other
		}
	}
	if answered == nil || answered.code != http.StatusUnauthorized {
		return err // nil is a registry that lets everybody in
	}
	asked, ok := firstUsable(answered.challenges)
	switch {
	case !ok && len(answered.challenges) > 0:
		return fmt.Errorf("it wants %q, which is neither a password nor a token", answered.challenges[0].scheme)
	case !ok:
		return errors.New("it does not say whether it wants a password or a token")
	case asked.scheme == "basic":
		_, err = get(ctx, client, root, basic(with))
		return err
	}
	token, err := fetchToken(ctx, client, asked.parameters, with)
	if err != nil {
		return err
	}
	_, err = get(ctx, client, root, "Bearer "+token)
	return err
}

// fetchToken trades a password for a token
// (https://distribution.github.io/distribution/spec/auth/token/). The token server may be any
// that the registry names, also one in a private network, as it may for docker.
func fetchToken(ctx context.Context, client *http.Client, challenge map[string]string, with guest.Credentials) (string, error) {
	realm, err := url.Parse(challenge["realm"])
	if err != nil || realm.Host == "" {
		return "", fmt.Errorf("it names no token server, but %q", challenge["realm"])
	}
	query := realm.Query()
	query.Set("client_id", "linnet")
	query.Set("account", with.Username)
	if service := challenge["service"]; service != "" {
		query.Set("service", service)
	}
	realm.RawQuery = query.Encode()
	body, err := get(ctx, client, realm.String(), basic(with))
	if err != nil {
		return "", err
	}
	var got struct {
		Token  string `json:"token"`
		Access string `json:"access_token"`
	}
	if json.Unmarshal(body, &got) != nil || got.Token+got.Access == "" {
		return "", fmt.Errorf("its token server %s answers without a token", realm.Host)
	}
	return cmp.Or(got.Token, got.Access), nil
}

func basic(with guest.Credentials) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(with.Username+":"+with.Secret))
}

// get asks for an address and returns what a 200 has to say; any other answer is a
// *statusError.
func get(ctx context.Context, client *http.Client, address, authorization string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "linnet")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode == http.StatusOK {
		return body, err
	}
	return nil, newStatusError(resp, body)
}

func newTransport(address string, insecure bool, certDirs []string) (*http.Transport, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	t = t.Clone()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: insecure, MinVersion: tls.VersionTLS12} //nolint:gosec // where the settings, or the host, say so
	for _, dir := range certDirs {
		files, _ := filepath.Glob(filepath.Join(dir, address, "*.crt"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading a certificate authority: %w", err)
			}
			if t.TLSClientConfig.RootCAs == nil {
				if t.TLSClientConfig.RootCAs, err = x509.SystemCertPool(); err != nil {
					return nil, fmt.Errorf("reading this host's certificate authorities: %w", err)
				}
			}
			t.TLSClientConfig.RootCAs.AppendCertsFromPEM(text)
		}
	}
	return t, nil
}

// guarded keeps passwords off plain HTTP where that is not allowed, wherever a registry sends
// us for a token.
type guarded struct {
	http.RoundTripper
	insecure bool
}

func (g *guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !g.insecure {
		return nil, errors.New("it wants the password over plain HTTP")
	}
	return g.RoundTripper.RoundTrip(r)
}

func isLocal(address string) bool {
	name := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		name = h
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// loginFailure is why a registry did not let us in, with what may help.
func loginFailure(err error, address string) error {
	var answered *statusError
	var requested *url.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answered):
		return refusal(answered)
	case errors.As(err, &certificate):
		return hint.With(fmt.Errorf("checking its certificate: %w", certificate.Err),
			"put the certificate of its authority into /etc/docker/certs.d/"+address+"/ca.crt, or set engine.registries.insecure")
	case !errors.As(err, &requested):
		return err
	}
	fix := "see whether the name is right and the registry can be reached"
	if strings.Contains(requested.Err.Error(), "HTTP response to HTTPS client") {
		fix = fmt.Sprintf("if plain HTTP is meant, put %q into engine.registries.insecure", address)
	}
	return &hint.Error{Err: requested.Err, Fix: fix}
}

func refusal(answered *statusError) error {
	switch answered.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return hint.With(fmt.Errorf("%w (%w)", ErrRefused, answered), "some registries want an access token instead of the password")
	}
	return fmt.Errorf("it answers %w", answered)
}

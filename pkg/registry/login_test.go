package registry

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// basicRegistry lets robin in with s3cret.
func basicRegistry(w http.ResponseWriter, r *http.Request) {
	if user, password, ok := r.BasicAuth(); !ok || user != "robin" || password != "s3cret" {
		w.Header().Set("WWW-Authenticate", `Basic realm="nest"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// bearerRegistry wants a token, which its token server gives robin for s3cret.
func bearerRegistry(t *testing.T) *httptest.Server {
	t.Helper()
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.FormValue("service") != "nest" || r.FormValue("account") != user {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if user != "robin" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}`)
			return
		}
		fmt.Fprint(w, `{"access_token": "t0ken"}`)
	}))
	t.Cleanup(tokens.Close)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t0ken" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+tokens.URL+`/token",service="nest"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
}

func address(s *httptest.Server) string {
	_, address, _ := strings.Cut(s.URL, "://")
	return address
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return address(s)
}

func TestLoginAndLogout(t *testing.T) {
	bearer := bearerRegistry(t)
	t.Cleanup(bearer.Close)
	for name, registry := range map[string]string{"basic": serve(t, basicRegistry), "bearer": address(bearer)} {
		b := newBench(t, "")
		plain, err := b.Login(t.Context(), "http://"+registry+"/v2/", robin, Access{})
		if err != nil || !plain {
			t.Fatalf("%s: %v, %v", name, plain, err)
		}
		if got, err := Open(b.environ).Credentials(t.Context(), registry); err != nil || got != robin {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		want := "{\n\t\"auths\": {\n\t\t\"" + registry + "\": {\n\t\t\t\"auth\": \"cm9iaW46czNjcmV0\"\n\t\t}\n\t}\n}"
		if got := b.config(t); got != want {
			t.Errorf("%s: the file is %s", name, got)
		}
		if st, err := os.Stat(b.Path()); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
		if known, err := b.Logout(t.Context(), registry); err != nil || !known {
			t.Errorf("%s: logging out: %v, %v", name, known, err)
		}
		if got := b.config(t); got != "{\n\t\"auths\": {}\n}" {
			t.Errorf("%s: the file is %s", name, got)
		}
		if known, err := b.Logout(t.Context(), registry); err != nil || known {
			t.Errorf("%s: logging out again: %v, %v", name, known, err)
		}
	}
}

// A registry that lets everybody in takes any password, as it does with docker.
func TestLoginToAnOpenRegistry(t *testing.T) {
	registry := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("it was sent the password that it did not ask for")
		}
	})
	if _, err := newBench(t, "").Login(t.Context(), registry, robin, Access{}); err != nil {
		t.Error(err)
	}
}

func TestLoginWithAHelper(t *testing.T) {
	registry := serve(t, basicRegistry)
	b := newBench(t, `{"credsStore": "fake", "auths": {"`+registry+`": {"auth": "b2xkOm9sZA=="}}}`, "FAKE_SECRETS_IN_CALLS=1")
	plain, err := b.Login(t.Context(), registry, robin, Access{})
	if err != nil || plain {
		t.Fatalf("%v, %v", plain, err)
	}
	if got := b.config(t); got != `{"credsStore": "fake", "auths": {"`+registry+`": {}}}` {
		t.Errorf("the file is %s", got)
	}
	want := []string{`store {"ServerURL":"` + registry + `","Username":"robin","Secret":"s3cret"}`}
	if got := b.helper(t).Calls; !slices.Equal(got, want) {
		t.Errorf("the helper was asked %q", got)
	}
	if known, err := b.Logout(t.Context(), "https://"+registry); err != nil || !known {
		t.Errorf("logging out: %v, %v", known, err)
	}
	if got := b.config(t); got != `{"credsStore": "fake", "auths": {}}` {
		t.Errorf("the file is %s", got)
	}
	if got := b.helper(t).Kept; len(got) > 0 {
		t.Errorf("the helper still has %v", got)
	}
	if known, err := b.Logout(t.Context(), registry); err != nil || known {
		t.Errorf("logging out again: %v, %v", known, err)
	}
}

// Logging out of Hub forgets the tokens too that docker has from logging in by a browser.
func TestLogoutOfHub(t *testing.T) {
	b := newBench(t, `{"auths": {"https://index.docker.io/v1/": {}, "https://index.docker.io/v1/access-token": {}, "https://index.docker.io/v1/refresh-token": {}, "docker.io": {}, "ghcr.io": {}}}`)
	if known, err := b.Logout(t.Context(), Hub); err != nil || !known {
		t.Errorf("%v, %v", known, err)
	}
	if got := b.config(t); got != `{"auths": {"ghcr.io": {}}}` {
		t.Errorf("the file is %s", got)
	}
	b = newBench(t, `{"credsStore": "fake"}`)
	b.keeps(t, kept{"https://index.docker.io/v1/", "a", "b"}, kept{"https://index.docker.io/v1/refresh-token", "a", "b"}, kept{"ghcr.io", "a", "b"})
	if known, err := b.Logout(t.Context(), ""); err != nil || !known {
		t.Errorf("%v, %v", known, err)
	}
	if got := b.helper(t).Kept; len(got) != 1 {
		t.Errorf("the helper still has %v", got)
	}
}

// Nothing is written down unless the registry and the helper have taken it.
func TestErrorsOfLogin(t *testing.T) {
	basic := serve(t, basicRegistry)
	bearer := bearerRegistry(t)
	t.Cleanup(bearer.Close)
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	strange := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(http.StatusUnauthorized)
	})
	silent := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	mute := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	homeless := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="nest"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := closed.Addr().String()
	closed.Close()
	const wrong = "some registries want an access token instead of the password"
	for _, c := range []struct{ registry, config, env, password, text, hint string }{
		{basic, "", "", "Wr0ng", "logging in to " + basic + ": the user or the password is wrong (401 Unauthorized)", wrong},
		{address(bearer), "", "", "Wr0ng", "logging in to " + address(bearer) + ": the user or the password is wrong (incorrect username or password)", wrong},
		{gone, "", "", "s3cret", "logging in to " + gone + ": dial tcp " + gone + ": connect: connection refused", "see whether the name is right and the registry can be reached"},
		{broken, "", "", "s3cret", "logging in to " + broken + ": it answers 500 Internal Server Error", ""},
		{strange, "", "", "s3cret", "logging in to " + strange + `: it wants "negotiate", which is neither a password nor a token`, ""},
		{silent, "", "", "s3cret", "logging in to " + silent + ": it does not say whether it wants a password or a token", ""},
		{mute, "", "", "s3cret", "logging in to " + mute + ": its token server " + mute + " answers without a token", ""},
		{homeless, "", "", "s3cret", "logging in to " + homeless + `: it names no token server, but "nest"`, ""},
		{"a b", "", "", "s3cret", `logging in to a b: "a b" is not the name of a registry`, "write it as a host, or host:port"},
		{gone, "{", "", "s3cret", "reading CONFIG: unexpected EOF", "mend it, or move it away and log in again"},
		{basic, `{"credsStore": "nest"}`, "", "s3cret", "keeping the credentials of " + basic + ": the credential helper docker-credential-nest, which CONFIG names, is not in PATH", "install it, or take it out of credsStore or credHelpers there"},
		{basic, `{"credsStore": "fake"}`, "FAKE_FAIL=cannot keep INPUT", "s3cret", "keeping the credentials of " + basic + `: docker-credential-fake store: cannot keep {"ServerURL":"` + basic + `","Username":"robin","Secret":"***"}`, ""},
	} {
		b := newBench(t, c.config, c.env)
		_, err := b.Login(t.Context(), c.registry, guest.Credentials{Username: "robin", Secret: c.password}, Access{})
		if text := errorText(err); text != strings.ReplaceAll(c.text, "CONFIG", b.Path()) || hintText(err) != c.hint {
			t.Errorf("%s:\ngot  %s\nwant %s\nhint %s", c.registry, text, c.text, hintText(err))
		}
		if text, _ := os.ReadFile(b.Path()); err != nil && string(text) != c.config {
			t.Errorf("%s: the file is %s", c.registry, text)
		}
		if c.password == "Wr0ng" && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v is not ErrRefused", c.registry, err)
		}
	}
}

// A password goes over plain HTTP, or to a stranger's certificate, only where that is allowed.
func TestLoginIsEncrypted(t *testing.T) {
	var seen []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			seen = append(seen, r.Host)
		}
		basicRegistry(w, r)
	})
	external := externalAddress(t)
	listener, err := net.Listen("tcp", net.JoinHostPort(external, "0"))
	if err != nil {
		t.Fatal(err)
	}
	open := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	open.Start()
	t.Cleanup(open.Close)
	if listener, err = net.Listen("tcp", net.JoinHostPort(external, "0")); err != nil {
		t.Fatal(err)
	}
	secure := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	secure.StartTLS()
	t.Cleanup(secure.Close)

	b := newBench(t, "")
	_, err = b.Login(t.Context(), address(open), robin, Access{Insecure: []string{"example.com"}})
	if text := errorText(err); text != "logging in to "+address(open)+": http: server gave HTTP response to HTTPS client" ||
		hintText(err) != `if plain HTTP is meant, put "`+address(open)+`" into engine.registries.insecure` {
		t.Errorf("plain HTTP: %v", err)
	}
	_, err = b.Login(t.Context(), address(secure), robin, Access{})
	if text := errorText(err); !strings.HasPrefix(text, "logging in to "+address(secure)+": checking its certificate: x509: ") ||
		hintText(err) != "put the certificate of its authority into /etc/docker/certs.d/"+address(secure)+"/ca.crt, or set engine.registries.insecure" {
		t.Errorf("a stranger's certificate: %v", err)
	}
	if len(seen) > 0 {
		t.Fatalf("a password was sent to %q", seen)
	}
	for _, how := range []Access{{Insecure: []string{address(open), address(secure)}}, {AllInsecure: true}} {
		for _, s := range []*httptest.Server{open, secure} {
			if _, err := b.Login(t.Context(), address(s), robin, how); err != nil {
				t.Errorf("allowed: %v", err)
			}
		}
	}
}

// Over TLS a password is sent, but not on to a token server to which the way is open.
func TestLoginOverTLS(t *testing.T) {
	open := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(open.Close)
	basic := httptest.NewTLSServer(http.HandlerFunc(basicRegistry))
	t.Cleanup(basic.Close)
	wrong := guest.Credentials{Username: "robin", Secret: "Wr0ng"}
	for _, c := range []struct {
		server *httptest.Server
		with   guest.Credentials
		text   string
	}{
		{basic, robin, ""},
		{basic, wrong, "401 Unauthorized"},
		{open, robin, `Get "http://` + address(open) + `/token?account=robin&client_id=linnet": it wants the password over plain HTTP`},
	} {
		client := c.server.Client()
		client.Transport = &guarded{client.Transport, false}
		if err := letIn(t.Context(), client, address(c.server), false, c.with); errorText(err) != c.text {
			t.Error(err)
		}
	}
}

// A registry whose authority is in a certificate directory is trusted, and no other for it.
func TestLoginWithACertificateDirectory(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(basicRegistry))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, address(s)), 0o700); err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, address(s), "ca.crt"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	// On this host it would be let through unchecked, so the transport is asked itself.
	for dirs, want := range map[string]bool{dir: true, t.TempDir(): false} {
		rt, err := newTransport(address(s), false, []string{"/nowhere", dirs})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: rt}).Get(s.URL)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", dirs, err)
		}
	}
}

// The file may be a link into a user's collection of such files, and stays one.
func TestLoginKeepsALinkAndAllElse(t *testing.T) {
	registry := serve(t, basicRegistry)
	b := newBench(t, "")
	real := filepath.Join(b.dir, "dotfiles.json")
	const before = "{\n  \"psFormat\": \"table {{.Names}}\",\n  \"own\": {\"of\": \"robin\"}\n}\n"
	if err := errors.Join(os.WriteFile(real, []byte(before), 0o644), os.Symlink(real, b.Path())); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Login(t.Context(), registry, robin, Access{}); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(b.Path()); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if st, err := os.Stat(b.Path()); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	auth := base64.StdEncoding.EncodeToString([]byte("robin:s3cret"))
	want := "{\n  \"psFormat\": \"table {{.Names}}\",\n  \"own\": {\"of\": \"robin\"},\n  \"auths\": {\n    \"" + registry + "\": {\n      \"auth\": \"" + auth + "\"\n    }\n  }\n}\n"
	if got := b.config(t); got != want {
		t.Errorf("the file is %s", got)
	}
}

// externalAddress is an address of this host that is not the loopback's.
func externalAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this host has the loopback only")
	return ""
}

func hintText(err error) string {
	var hinted *hint.Error
	if errors.As(err, &hinted) {
		return hinted.Fix
	}
	return ""
}

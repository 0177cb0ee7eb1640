package lens_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/lens"
)

// secretsIn are the findings of secret-value in a Dockerfile with a line.
func secretsIn(line string) (all []lens.Finding) {
	p := &lens.Project{Dockerfiles: []*lens.Dockerfile{lens.ParseDockerfile("Dockerfile", []byte("FROM scratch\n"+line+"\n"))}}
	for _, f := range lens.Run(p, lens.Defaults(today)) {
		if f.ID == "secret-value" {
			all = append(all, f)
		}
	}
	return all
}

// Digests, commits, identifiers and other strings of high entropy are no secrets.
func TestHarmlessStringsAreNoSecrets(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for i := range 1000 {
		raw := make([]byte, 20+i%45)
		_, _ = random.Read(raw) // never fails
		text := hex.EncodeToString(raw)
		if i%2 == 0 {
			text = base64.RawURLEncoding.EncodeToString(raw)
		}
		if found := secretsIn("ENV VALUE=" + text); len(found) > 0 {
			t.Errorf("%s: %s", text, found[0].Text)
		}
	}
	for _, line := range []string{
		"RUN git clone https://example.com/a.git && curl -u $USER:$PASSWORD https://example.com",
		"ENV URL=postgres://app:${DB_PASSWORD}@db:5432/app OTHER=http://localhost:8080/a@b",
		"COPY --from=registry.example.com:5000/a/b:1@sha256:" + strings.Repeat("0a", 32) + " /a /b",
		"# -----BEGIN CERTIFICATE-----",
	} {
		if found := secretsIn(line); len(found) > 0 {
			t.Errorf("%s: %s", line, found[0].Text)
		}
	}
}

// Each kind of secret is found, and what is told of it shows nothing of it. The values are put together here: none stands in this file.
func TestSecretsAreFoundAndNotShown(t *testing.T) {
	letters := strings.Repeat("Ab3dEf6hIj", 10)
	for kind, value := range map[string]string{
		"an access key of AWS":     "AKIA" + strings.ToUpper(letters[:16]),
		"a token of GitHub":        "gho_" + letters[:36],
		"a token of GitLab":        "glpat-" + letters[:20],
		"a token of npm":           "npm_" + letters[:36],
		"a token of PyPI":          "pypi-AgEIcHlwaS5vcmc" + letters[:60],
		"a token of Docker Hub":    "dckr_pat_" + letters[:27],
		"a token of Slack":         "xoxb-" + letters[:24],
		"a key of Stripe":          "sk_live_" + letters[:24],
		"a key of Google":          "AIza" + letters[:35],
		"a token of Hugging Face":  "hf_" + strings.Repeat("Ab", 17),
		"a key of SendGrid":        "SG." + letters[:22] + "." + letters[:43],
		"a token of DigitalOcean":  "dop_v1_" + strings.Repeat("0a", 32),
		"a private key":            "'-----BEGIN EC PRIVATE KEY-----'",
		"a JSON web token":         "eyJ" + letters[:20] + ".eyJ" + letters[:20] + "." + letters[:20],
		"a password in an address": "postgres://robin:" + letters[:12] + "@db/app",
	} {
		found := secretsIn("ENV A=" + value)
		if len(found) != 1 || found[0].Text != "the line has "+kind || found[0].Line != 2 || found[0].Level != lens.Error {
			t.Errorf("%s: %+v", kind, found)
			continue
		}
		if shown := fmt.Sprintf("%+v", found); strings.Contains(shown, letters[:6]) {
			t.Errorf("%s is shown: %s", kind, shown)
		}
	}
}

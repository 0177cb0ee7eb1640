package lens_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/images"
)

// imageFindings are all findings in an image of a fixture.
func imageFindings(t *testing.T, text string) []lens.Finding {
	t.Helper()
	dir := t.TempDir()
	parseFixture(t, text).write(t, dir)
	i, err := images.FromPath(t.Context(), dir, nil, "", images.Platform{})
	check(t, err)
	return lens.RunImage(i, lens.Defaults(today))
}

func secretsOf(all []lens.Finding) (secrets []lens.Finding) {
	for _, f := range all {
		if strings.HasPrefix(f.ID, "image-secret") {
			secrets = append(secrets, f)
		}
	}
	return secrets
}

// A secret is found wherever it was left: in a file that a later layer removes or replaces, in a variable, in the history, in a build argument;
// each packing of layers is read. What is told shows nothing of it, whatever the format.
func TestPlantedSecretsAreFoundAndNotShown(t *testing.T) {
	const base = "layer ADD rootfs.tar /\netc/passwd 0644 100\n"
	places := map[string]string{
		"deleted":  base + "layer COPY . .\napp/settings.ini 0644 \"key = %s\\n\"\nlayer RUN rm /app/settings.ini\n- app/settings.ini\n",
		"replaced": "pack zstd\n" + base + "layer COPY . .\nsrv/a.txt 0644 \"%s\"\nlayer COPY b /srv/a.txt\nsrv/a.txt 0644 10\n",
		"variable": "pack none\nconfig {\"Env\": [\"ACCESS_TOKEN=%s\"]}\n" + base,
		"history":  base + "layer RUN /bin/sh -c login --with %s # buildkit\na 0644 1\n",
		"argument": base + "layer RUN |1 ACCESS_TOKEN=%s /bin/sh -c npm ci # buildkit\na 0644 1\n",
	}
	found, planned := 0, 0
	for place, text := range places {
		for _, secret := range []string{"{{github}}", "{{aws}}", "{{npm}}", "{{slack}}"} {
			planned++
			value := planted(secret)
			all := imageFindings(t, strings.ReplaceAll(text, "%s", secret))
			secrets := secretsOf(all)
			if len(secrets) == 0 || lens.Worst(secrets) != lens.Error {
				t.Errorf("%s %s is not found: %+v", place, secret, secrets)
				continue
			}
			found++
			shown, err := json.Marshal(all)
			check(t, err)
			if strings.Contains(string(shown), value[4:12]) {
				t.Errorf("%s %s is shown: %s", place, secret, shown)
			}
		}
	}
	t.Logf("%d of %d planted secrets are found", found, planned)
	if planned != 20 {
		t.Errorf("%d were planted", planned)
	}
}

// Passwords that have no form are found by where they are.
func TestPasswordsAreFoundByTheirNames(t *testing.T) {
	for _, text := range []string{
		"layer COPY . .\napp/.env 0644 \"SMTP_PASSWORD={{password}}\\n\"\nlayer RUN rm /app/.env\n- app/.env\n",
		"config {\"Env\": [\"SMTP_PASSWORD={{password}}\"]}\nlayer A\na 0644 1\n",
		"layer RUN /bin/sh -c SMTP_PASSWORD={{password}} ./send # buildkit\na 0644 1\n",
		"layer RUN |1 SMTP_PASSWORD={{password}} /bin/sh -c ./send # buildkit\na 0644 1\n",
		"layer A\nroot/.npmrc 0644 \"//registry.example.com/:_authToken={{password}}\\n\"\n",
		"layer A\nroot/.docker/config.json 0644 \"{\\\"auths\\\": {\\\"a\\\": {\\\"auth\\\": \\\"{{password}}\\\"}}}\"\n",
		"layer A\nroot/.netrc 0600 \"machine example.com login robin password {{password}}\\n\"\n",
		"layer A\nroot/.git-credentials 0600 \"https://robin:{{password}}@example.com\\n\"\n",
	} {
		all := imageFindings(t, text)
		if len(secretsOf(all)) == 0 {
			t.Errorf("nothing is found in\n%s", text)
		}
		shown, err := json.Marshal(all)
		check(t, err)
		if strings.Contains(string(shown), "hunter2") {
			t.Errorf("it is shown: %s", shown)
		}
	}
}

// Digests, commits, identifiers and other strings of high entropy are no secrets, wherever they are.
func TestHarmlessStringsInImagesAreNoSecrets(t *testing.T) {
	random := rand.NewChaCha8([32]byte{2})
	next := func(n int) string {
		raw := make([]byte, 16+n%45)
		_, _ = random.Read(raw) // never fails
		switch n % 3 {
		case 0:
			return hex.EncodeToString(raw)
		case 1:
			return base64.RawURLEncoding.EncodeToString(raw)
		}
		return base64.StdEncoding.EncodeToString(raw)
	}
	flagged := 0
	for n := range 800 {
		text := fmt.Sprintf("{\n \"integrity\": \"sha512-%s\",\n \"id\": \"%s\"\n}\n", next(n), next(n))
		if s := lens.SecretsIn([]string{"app/package-lock.json", "etc/app/config.yaml", "app/.env", "root/.config"}[n%4], []byte(text)); len(s) > 0 {
			t.Logf("%s: %s", text, s[0].What)
			flagged++
		}
	}
	for n := range 200 {
		i := &lens.Image{Env: []string{"GPG_KEY=" + next(n), "REVISION=" + next(n)}, History: []lens.History{{By: "RUN |1 CHECKSUM=" + next(n) + " /bin/sh -c echo " + next(n) + " # buildkit"}}}
		if s := secretsOf(lens.RunImage(i, lens.Defaults(today))); len(s) > 0 {
			t.Logf("%+v: %+v", i, s)
			flagged++
		}
	}
	t.Logf("%d of 1000 are flagged", flagged)
	if flagged > 0 {
		t.Errorf("%d harmless strings are flagged", flagged)
	}
}

package lens

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func secretChecks() []*Check {
	return []*Check{
		{
			ID: "secret-value", Title: "No secret is written out", Level: Error, Questions: []string{"SEC_05"}, Practices: []string{"secrets"},
			Why:        "What is in a Dockerfile is in its repository, in the image's history and in the build's log.",
			Fix:        "revoke it, and hand the new one over with RUN --mount=type=secret,id=NAME",
			URL:        "https://docs.docker.com/build/building/secrets/",
			dockerfile: checkSecretValue,
		},
		{
			ID: "copy-secret", Title: "No secret is copied", Level: Error, Questions: []string{"SEC_05"}, Practices: []string{"secrets", "sensitive-context"},
			Why:        "A file that is copied is in a layer for everyone who can pull the image, even when a later step removes it.",
			Fix:        "list the file in .dockerignore, and mount it where a step needs it: RUN --mount=type=secret",
			dockerfile: checkCopySecret,
		},
		{
			ID: "secret-unused", Title: "A secret that is mounted is used", Level: Info, Questions: []string{"SEC_05"}, Practices: []string{"secrets"},
			Why:        "Each program of a step can read its secrets: those that it does not need should not be there.",
			Fix:        "remove the mount",
			dockerfile: checkSecretUnused,
		},
	}
}

// secretRule is the form of a secret that is given out by someone, so that nothing else looks like it.
type secretRule struct {
	what    string
	pattern *regexp.Regexp
}

// secretRules are precise: a word of high entropy alone is no secret.
var secretRules = []secretRule{
	{"an access key of AWS", regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`)},
	{"a token of GitHub", regexp.MustCompile(`\b(?:gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{60,})`)},
	{"a token of GitLab", regexp.MustCompile(`\bglpat-[0-9A-Za-z_-]{20}`)},
	{"a token of npm", regexp.MustCompile(`\bnpm_[0-9A-Za-z]{36}\b`)},
	{"a token of PyPI", regexp.MustCompile(`\bpypi-AgEIcHlwaS5vcmc[0-9A-Za-z_-]{50,}`)},
	{"a token of Docker Hub", regexp.MustCompile(`\bdckr_pat_[0-9A-Za-z_-]{27}`)},
	{"a token of Slack", regexp.MustCompile(`\bxox[abposr]-[0-9A-Za-z-]{10,}`)},
	{"a key of Stripe", regexp.MustCompile(`\b[rs]k_live_[0-9A-Za-z]{24,}`)},
	{"a key of Google", regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}\b`)},
	{"a token of Hugging Face", regexp.MustCompile(`\bhf_[A-Za-z]{34}\b`)},
	{"a key of SendGrid", regexp.MustCompile(`\bSG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}`)},
	{"a token of DigitalOcean", regexp.MustCompile(`\bdo[opr]_v1_[0-9a-f]{64}\b`)},
	{"a private key", regexp.MustCompile(`-----BEGIN (?:[A-Z]+ )*PRIVATE KEY`)},
	{"a JSON web token", regexp.MustCompile(`\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}`)},
	{"a password in an address", regexp.MustCompile(`\b[a-z][a-z0-9+]*://[^\s:/@$'"]+:[^\s:/@$'"{<]{3,}@[\w.-]`)},
	{"a key of an AI service", regexp.MustCompile(`\bsk-(?:ant|proj)-[0-9A-Za-z_-]{20,}`)},
	{"a key of Azure's storage", regexp.MustCompile(`\bAccountKey=[0-9A-Za-z+/]{80,}=*`)},
	{"a key of age", regexp.MustCompile(`\bAGE-SECRET-KEY-1[0-9A-Z]{50,}`)},
	{"a secret key of AWS", regexp.MustCompile(`(?i)(?:aws_secret_access_key|SecretAccessKey)["']?\s*[=:]\s*["']?[0-9A-Za-z/+]{40}(?:[^0-9A-Za-z/+=]|$)`)},
	{"a password of curl", regexp.MustCompile(`\bcurl\b[^|;&]*\s(?:-u|--user)[= ]+["']?[^\s:$"']+:[^\s$"'{<]{3,}`)},
}

// secretIn says what kind of secret a text has; "" for none.
func secretIn(text string) string {
	for _, r := range secretRules {
		if r.pattern.MatchString(text) {
			return r.what
		}
	}
	return ""
}

// checkSecretValue goes line by line: a secret in a heredoc is one, too. No text of it is told.
func checkSecretValue(d *Dockerfile, _ *Config) (all []found) {
	for i, line := range d.Lines {
		if what := secretIn(line); what != "" {
			all = append(all, found{line: i + 1, text: "the line has " + what})
		}
	}
	return all
}

// sensitive says what makes a file of a context one that no image should have; "" for others.
func sensitive(f File) string {
	name := path.Base(f.Path)
	lower := strings.ToLower(name)
	switch {
	case f.Key:
		return "a private key"
	case lower == ".env" || strings.HasPrefix(lower, ".env.") && !harmless.MatchString(lower):
		return "variables with their values"
	case slices.Contains([]string{".npmrc", ".pypirc", ".netrc", ".git-credentials", ".dockercfg", ".htpasswd", ".pgpass", ".s3cfg"}, lower) && f.Path != ".npmrc":
		return "credentials"
	case strings.HasSuffix(f.Path, ".aws/credentials"), strings.HasSuffix(f.Path, ".docker/config.json"), strings.HasSuffix(f.Path, ".kube/config"), strings.HasSuffix(f.Path, ".config/gcloud/application_default_credentials.json"):
		return "credentials"
	case strings.HasSuffix(lower, ".p12"), strings.HasSuffix(lower, ".pfx"), strings.HasSuffix(lower, ".jks"), strings.HasSuffix(lower, ".keystore"), strings.HasSuffix(lower, ".kdbx"):
		return "a store of keys"
	case strings.HasSuffix(lower, ".tfstate"):
		return "Terraform's state, which has secrets"
	}
	return ""
}

// harmless are files with examples of variables.
var harmless = regexp.MustCompile(`\.(example|sample|template|tmpl|dist|defaults?|test|ci|md)$`)

// MayBeKey reports whether a file's name is one that private keys have: whether it holds one says its content.
func MayBeKey(name string) bool {
	base := strings.ToLower(path.Base(name))
	if strings.HasPrefix(base, "id_") {
		return !strings.HasSuffix(base, ".pub")
	}
	return strings.HasSuffix(base, ".pem") || strings.HasSuffix(base, ".key") || strings.HasSuffix(base, ".ppk") || strings.HasSuffix(base, ".asc") || strings.HasSuffix(base, "service-account.json")
}

// IsKey reports whether a file begins, in its first bytes, as one with a private key.
func IsKey(head []byte) bool {
	text := string(head)
	return strings.Contains(text, "PRIVATE KEY-----") || strings.Contains(text, "PuTTY-User-Key-File") || strings.Contains(text, "BEGIN PGP PRIVATE KEY") || strings.Contains(text, `"private_key"`)
}

// takes reports whether a COPY or ADD of a source takes a file of the context.
func takes(source, file string) bool {
	source = strings.TrimPrefix(path.Clean("/"+source), "/")
	if source == "" {
		return true
	}
	for at := file; at != "."; at = path.Dir(at) {
		if ok, err := path.Match(source, at); err == nil && ok {
			return true
		}
	}
	return false
}

// copied calls do for each file of the context that a step copies.
func (d *Dockerfile) copied(s *Step, do func(File)) {
	sources, from := sourcesOf(s)
	if d.Context == nil || from != "" || len(sources) == 0 {
		return
	}
	var excluded []string
	switch c := s.Command.(type) {
	case *instructions.CopyCommand:
		excluded = c.ExcludePatterns
	case *instructions.AddCommand:
		excluded = c.ExcludePatterns
	}
	for _, f := range d.Context.Files {
		if slices.ContainsFunc(sources, func(src string) bool { return !isRemote(src) && takes(src, f.Path) }) && !matches(f.Path, excluded...) {
			do(f)
		}
	}
}

func checkCopySecret(d *Dockerfile, _ *Config) (all []found) {
	d.steps(func(_ *Stage, s *Step) {
		var files []string
		what := ""
		if d.Context == nil || len(d.Context.secrets()) == 0 {
			return
		}
		d.copied(s, func(f File) {
			if kind := sensitive(f); kind != "" {
				files, what = append(files, f.Path), kind
			}
		})
		switch {
		case len(files) == 1:
			all = append(all, found{line: s.Line, end: s.End, text: fmt.Sprintf("%s takes %s: %s", strings.ToUpper(s.Name()), files[0], what)})
		case len(files) > 1:
			all = append(all, found{line: s.Line, end: s.End, text: fmt.Sprintf("%s takes %s", strings.ToUpper(s.Name()), some(files))})
		}
	})
	return all
}

// secrets are the files of a context that no image should have.
func (x *Context) secrets() []File {
	if !x.looked {
		x.looked = true
		for _, f := range x.Files {
			if sensitive(f) != "" {
				x.found = append(x.found, f)
			}
		}
	}
	return x.found
}

// some names the first three of a list, and how many more there are.
func some(names []string) string {
	const most = 3
	text := strings.Join(names[:min(most, len(names))], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func checkSecretUnused(d *Dockerfile, _ *Config) (all []found) {
	d.steps(func(_ *Stage, s *Step) {
		run, ok := s.Command.(*instructions.RunCommand)
		if !ok {
			return
		}
		body := text(run.ShellDependantCmdLine)
		for _, m := range s.Mounts {
			if m.Type != instructions.MountTypeSecret || m.CacheID == "" {
				continue
			}
			target, id := m.Target, m.CacheID
			if target == "" {
				target = "/run/secrets/" + id
			}
			uses := strings.Contains(body, target) || strings.Contains(body, path.Base(target)) || m.Env != nil || runsScript(s)
			// A file in a program's own place is read without being named.
			if !uses && strings.HasPrefix(target, "/run/secrets/") {
				all = append(all, found{line: d.lineOf(s, id), end: s.End, text: fmt.Sprintf("the secret %s is mounted, and the step does not name it", id)})
			}
		}
	})
	return all
}

// runsScript reports whether a step runs a file that may do more than the text says.
func runsScript(s *Step) bool {
	return slices.ContainsFunc(calls(s.Script), func(c Call) bool {
		return len(c.Words) > 0 && (strings.Contains(c.Words[0], "/") || strings.HasSuffix(c.Words[0], ".sh") || slices.Contains([]string{"make", "sh", "bash", "source", "."}, c.name()))
	})
}

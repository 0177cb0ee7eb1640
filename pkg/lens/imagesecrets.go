package lens

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// contentRule finds a kind of secret in a file: only where one of its words stands is the pattern tried.
type contentRule struct {
	secretRule
	words []string
}

// contentRules are those of Dockerfiles with the words that they begin with; a private key has to be one, and not a program that reads such.
var contentRules = sync.OnceValue(func() (all []contentRule) {
	words := map[string][]string{
		"an access key of AWS": {"AKIA", "ASIA"}, "a token of GitHub": {"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"},
		"a token of GitLab": {"glpat-"}, "a token of npm": {"npm_"}, "a token of PyPI": {"pypi-AgE"}, "a token of Docker Hub": {"dckr_pat_"},
		"a token of Slack": {"xoxa-", "xoxb-", "xoxp-", "xoxo-", "xoxs-", "xoxr-"}, "a key of Stripe": {"k_live_"}, "a key of Google": {"AIza"},
		"a token of Hugging Face": {"hf_"}, "a key of SendGrid": {"SG."}, "a token of DigitalOcean": {"doo_v1_", "dop_v1_", "dor_v1_"},
		"a JSON web token": {"eyJ"}, "a password in an address": {"://"}, "a key of an AI service": {"sk-ant-", "sk-proj-"},
		"a key of Azure's storage": {"AccountKey="}, "a key of age": {"AGE-SECRET-KEY-1"},
		"a secret key of AWS": {"aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "SecretAccessKey"},
	}
	for _, r := range secretRules {
		if w := words[r.what]; w != nil {
			all = append(all, contentRule{r, w})
		}
	}
	return append(all,
		contentRule{secretRule{"a private key", regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])+(?:[A-Z][A-Za-z-]+: [^\n]*(?:\s|\\[nr])+)*[A-Za-z0-9+/=]{16,}`)}, []string{"PRIVATE KEY"}},
		contentRule{secretRule{"a private key", regexp.MustCompile(`PuTTY-User-Key-File-\d: `)}, []string{"PuTTY-User-Key-File"}},
	)
})

// finder finds all words of the rules in one pass: the automaton of Aho and Corasick ("Efficient string matching", 1975), as a table.
type finder struct {
	next [][256]uint8
	// rules are those whose words end in a state.
	rules [][]int
}

var secretWords = sync.OnceValue(func() *finder {
	f := &finder{next: make([][256]uint8, 1), rules: make([][]int, 1)}
	for n, r := range contentRules() {
		for _, w := range r.words {
			at := uint8(0)
			for _, c := range []byte(w) {
				if f.next[at][c] == 0 {
					f.next[at][c] = uint8(len(f.next)) // TestTheWordsFit: there are fewer than 256 states
					f.next, f.rules = append(f.next, [256]uint8{}), append(f.rules, nil)
				}
				at = f.next[at][c]
			}
			f.rules[at] = append(f.rules[at], n)
		}
	}
	f.link()
	return f
})

// link makes an automaton of the tree of words: where a word does not go on, the longest one that the text may be within is gone on with.
func (f *finder) link() {
	fail := make([]uint8, len(f.next))
	queue := []uint8{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for c := range 256 {
			to := f.next[at][c]
			switch {
			case at == 0 && to != 0:
				queue = append(queue, to)
			case to == 0 || at == 0:
				f.next[at][c] = f.next[fail[at]][c]
			default:
				fail[to] = f.next[fail[at]][c]
				f.rules[to] = append(f.rules[to], f.rules[fail[to]]...)
				queue = append(queue, to)
			}
		}
	}
}

// Bounds of what is looked at around a word, in bytes, and of how often one rule is tried in a file.
const (
	wordBefore, wordAfter = 64, 1024
	mostTries             = 100
	leastRun              = 10 // a token goes on for as long without a break
)

// SecretsIn are the secrets in the first bytes of a file of an image, of each kind one. Files that are no text have none.
func SecretsIn(name string, head []byte) (all []Secret) {
	if bytes.IndexByte(head[:min(len(head), 8000)], 0) >= 0 {
		return byName(name, nil)
	}
	f, at, rules := secretWords(), uint8(0), contentRules()
	var tries []int
	for i, c := range head {
		at = f.next[at][c]
		for _, n := range f.rules[at] {
			if !rules[n].goesOn(head[i+1:]) {
				continue
			}
			if tries == nil {
				tries = make([]int, len(rules))
			}
			if tries[n]++; tries[n] > mostTries {
				continue
			}
			if s, ok := rules[n].try(head, i); ok {
				tries[n] = mostTries
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 {
		all = byName(name, head)
	}
	return all
}

// goesOn reports whether what follows a word can be the rest of a secret: in most places where a word stands, it is not, and no pattern has
// to be tried.
func (r *contentRule) goesOn(rest []byte) bool {
	switch r.what {
	case "a private key", "a secret key of AWS", "a key of Azure's storage":
		return true
	case "a password in an address":
		n := bytes.IndexAny(rest[:min(len(rest), 256)], "@/ \t\n\"'<>`")
		return n > 0 && rest[n] == '@'
	}
	if len(rest) < leastRun {
		return false
	}
	for _, c := range rest[:leastRun] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// try looks for a rule's secret around the end of one of its words.
func (r *contentRule) try(head []byte, end int) (Secret, bool) {
	from := max(0, end-wordBefore)
	window := head[from:min(len(head), end+wordAfter)]
	m := r.pattern.FindIndex(window)
	if m == nil {
		return Secret{}, false
	}
	if r.what == "a password in an address" {
		_, rest, _ := strings.Cut(string(window[m[0]:m[1]]), "://")
		_, word, _ := strings.Cut(rest, ":")
		if word, _, _ = strings.Cut(word, "@"); placeholder(word) {
			return Secret{}, false
		}
	}
	return Secret{What: r.what, Line: 1 + bytes.Count(head[:from+m[0]], []byte{'\n'})}, true
}

// byName are files that hold secrets by their names, where their content says nothing else. head is nil for what is no text.
func byName(name string, head []byte) []Secret {
	what := sensitive(File{Path: name})
	switch {
	case what == "":
		return nil
	case what == "a store of keys", what == "Terraform's state, which has secrets":
		return []Secret{{What: what}}
	}
	for i, line := range strings.Split(string(head), "\n") {
		if credential.MatchString(line) && !strings.HasPrefix(strings.TrimSpace(line), "#") || path.Base(name) == ".htpasswd" && strings.Contains(line, ":") || len(assignedSecrets(line)) > 0 {
			return []Secret{{What: what, Line: i + 1}}
		}
	}
	return nil
}

// credential is a line of a file that only such lines make secret.
var credential = regexp.MustCompile(`(?i)(_authToken|_auth|_password|\bpassword|\bsecret_key|aws_secret_access_key|"auth"|"identitytoken"|client-key-data|\btoken)["']?\s*[=: ]\s*["']?[^\s"'$]{4,}|^[^:\s#]+:\d+:[^:]*:[^:]*:\S+$`)

// assignment is a variable with a name that secrets have, and its value.
var assignment = regexp.MustCompile(`(?i)\b((?:[A-Z0-9]+_?)*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|SECRET_?KEY|AUTH_?KEY|_PASS))=["']?([^\s"';&|]+)`)

// assignedSecrets are the names in a text to which a secret is assigned.
func assignedSecrets(text string) (names []string) {
	for _, m := range assignment.FindAllStringSubmatch(text, -1) {
		if !placeholder(m[2]) && !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}

// isSecretVariable reports whether a variable is named as secrets are, and has a value that may be one.
func isSecretVariable(name, value string) bool {
	m := assignment.FindStringSubmatch(name + "=x-x-x-x")
	return m != nil && m[1] == name && !placeholder(value)
}

// pathlike is a value that names a file, and addresses without a password.
var pathlike = regexp.MustCompile(`^(/[\w.-]+)+/?$|^https?://[^@]*$|^[$<{%*]`)

// placeholders are values that stand for a secret, and switches.
var placeholders = []string{
	"true", "false", "yes", "no", "none", "null", "nil", "on", "off", "auto", "changeme", "change-me", "example", "test", "dummy", "fake", "placeholder",
	"password", "passwd", "pass", "secret", "token", "pwd", "pw", "foo", "bar", "user", "username", "your-password", "yourpassword", "xxx", "xxxx", "redacted",
}

// placeholder reports whether a value is none that is kept secret.
func placeholder(value string) bool {
	value = strings.Trim(value, `"'`)
	return len(value) < 4 || slices.Contains(placeholders, strings.ToLower(value)) || isPathlike(value)
}

func isPathlike(value string) bool {
	return strings.Trim(value, value[:1]) == "" || pathlike.MatchString(value)
}

// isSample reports whether a path is one of examples, tests and documentation, whose keys are everyone's.
func isSample(name string) bool {
	return slices.ContainsFunc(strings.Split(strings.ToLower(name), "/"), func(part string) bool {
		return slices.Contains(samples, part)
	})
}

var samples = []string{
	"test", "tests", "testing", "testdata", "test_data", "test-data", "__tests__", "spec", "specs", "fixtures", "fixture", "certdata", "mocks",
	"example", "examples", "sample", "samples", "demo", "demos", "doc", "docs", "man", "licenses",
}

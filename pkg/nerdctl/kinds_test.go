package nerdctl

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// pathNames and pathWords are the words that make a flag look as if the host had a part in
// its value, in the flag's name and in its description.
const (
	pathNames = "path file files dir dirs directory env secret ssh mount volume socket binary output input tar archive record key keys device cert certificate context"
	pathWords = "path file files filename filepath dir dirs directory directories env environment secret ssh socket tar archive homedir cert certificate binary device volumes"
)

// TestEveryPathFlagIsClassified: a flag whose name, or whose words, look like a file, a
// directory or a variable is in the rules, be it as plain with a reason. A new nerdctl cannot
// slip one past them.
func TestEveryPathFlagIsClassified(t *testing.T) {
	var down func(path []string, c *Command)
	down = func(path []string, c *Command) {
		for _, f := range c.Flags {
			if f.AliasOf != "" || !filelikeFlag(f) || slices.Contains([]string{"build", "compose build"}, Key(path)) { // linnet's own

				continue
			}
			if _, ok := kindOf(path, f.Name); !ok {
				t.Errorf("{%q, %q, ...}: is it the host's? %s", Key(path), f.Name, f.Usage)
			}
		}
		for _, sub := range c.Commands {
			down(append(slices.Clone(path), sub.Name), sub)
		}
	}
	down(nil, Root())
}

func filelikeFlag(f Flag) bool {
	switch f.Type {
	case "string", "stringArray", "stringSlice":
	default:
		return false
	}
	return looksLike(f.Name, pathNames) || looksLike(f.Usage, pathWords)
}

func looksLike(text, words string) bool {
	found := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) })
	return slices.ContainsFunc(found, func(w string) bool {
		return slices.Contains(strings.Fields(words), w) || strings.HasSuffix(w, "file") && w != "profile" || strings.HasSuffix(w, "path") || strings.HasSuffix(w, "dir")
	})
}

// TestEveryRuleIsOfUse: each rule is about a flag that there is, and a plain one says why.
func TestEveryRuleIsOfUse(t *testing.T) {
	have := map[string]bool{}
	var down func(path []string, c *Command)
	down = func(path []string, c *Command) {
		for _, f := range c.Flags {
			have[Key(path)+" --"+f.Name] = true
		}
		for _, sub := range c.Commands {
			down(append(slices.Clone(path), sub.Name), sub)
		}
	}
	down(nil, Root())
	seen := map[string]bool{}
	for _, r := range rules {
		for command := range strings.SplitSeq(r.commands, ",") {
			key := command + " --" + r.flag
			if !have[key] {
				t.Errorf("there is no %q", key)
			}
			if seen[key] {
				t.Errorf("%q is there twice", key)
			}
			seen[key] = true
		}
		if (r.kind == plain) != (r.why != "") {
			t.Errorf("%s --%s: the reason is %q", r.commands, r.flag, r.why)
		}
	}
}

// TestAllowed holds the list to what nerdctl needs, and to names by which a variable of a container once reached what
// nerdctl starts.
func TestAllowed(t *testing.T) {
	for _, name := range []string{"PATH", "HOME", "LANG", "LC_ALL", "TERM", "DOCKER_CONFIG", "http_proxy", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"} {
		if !Allowed(name) {
			t.Errorf("%s is needed", name)
		}
	}
	for _, name := range []string{
		"TOKEN", "AWS_SECRET_ACCESS_KEY", "DOCKER_PASSWORD", "COSIGN_PASSWORD", "path", "PATHS", "IPTABLES_LIB_DIR", "XTABLES_LIBDIR", "LD_PRELOAD",
		"LD_LIBRARY_PATH", "PYTHONPATH", "PERL5LIB", "BASH_ENV", "ENV", "CONTAINERD_ADDRESS", "CNI_PATH", "LINNET_VARIABLES_FD",
		"NOTIFY_SOCKET", "LISTEN_FDS", "CONTAINER_ID", "REQUEST_METHOD",
	} {
		if Allowed(name) {
			t.Errorf("%s is not nerdctl's business", name)
		}
	}
}

// TestAllowedStandsInTheMendToo: compose's children get the same names, by a list in a module that cannot import this one.
func TestAllowedStandsInTheMendToo(t *testing.T) {
	here, err := os.ReadFile("kinds.go")
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.ReadFile("../../deps/mends/compose-variables/mend.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(here), "func Allowed(")
	names := regexp.MustCompile(`"[A-Z_]+"`).FindAllString(list, -1)
	if len(names) < 30 {
		t.Errorf("only %d names: %q", len(names), names)
	}
	for _, name := range names {
		if !strings.Contains(string(there), name) {
			t.Errorf("compose's children do not get %s", name)
		}
	}
}

package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

func TestEachLineIsForItsProgram(t *testing.T) {
	for program, lines := range map[Program][]string{
		Build: {
			"build .", "cache", "cache ls", "image build .", "builder build .", "builder prune -f", "buildx build .", "buildx prune", "buildx du", "system df", "--debug system df -v",
			"system prune", "system prune -a", "--quiet build .", "-q --namespace other image --namespace=default build .", "--debug system --namespace=other prune -f",
		},
		Compose: {
			"compose build", "compose up", "compose create", "compose run a", "compose -f x build", "compose -p ps --profile=a up -d", "--debug-full compose up",
			"compose --namespace other -f x pull", "compose push", "compose --debug-full -pps create",
		},
		Lint: {"lint", "lint .", "--quiet lint --format json a b", "image check app", "image --debug check --input - app"},
		"": {
			"", "run a", "image ls", "builder", "buildx", "buildx ls", "system info", "nerdctl build .", "help", "run build", "--nope", "engine start", "--quiet", "cp build .",
			"compose", "compose ps", "compose down", "compose logs build", "compose -p up ps", "compose --help", "compose --env-file", "login", "version",
		},
	} {
		for _, line := range lines {
			got, err := Read(strings.Fields(line))
			if err != nil || got.Program != program {
				t.Errorf("%q is for %v, want %q, %v", line, got, program, err)
			}
		}
	}
}

func TestDockersSpellingsAreLinnetsCommands(t *testing.T) {
	for line, want := range map[string]string{
		"image --namespace=other build --load .": "--namespace=other build --load .",
		"builder --namespace default prune -f":   "--namespace=default cache prune -f",
		"buildx --debug du":                      "--debug cache du",
		"-q buildx build --help":                 "--quiet build --help",
		"compose -f a --namespace=x -p b up -d":  "--namespace=x compose --file=a --project-name=b up -d",
		"builder":                                "builder",
		"--backend=lima engine start --x":        "--backend=lima engine start --x",
		"container --namespace=x prune -f":       "--namespace=x container prune -f",
		"login -u a":                             "login -u a",
	} {
		l, err := Read(strings.Fields(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := strings.Join(l.Words(), " "); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// each calls f with each command of the tree, and where its line can have a global flag: between all words, and behind the last.
func each(t *testing.T, f func(path []string, c *nerdctl.Command)) {
	t.Helper()
	var down func(path []string, c *nerdctl.Command)
	down = func(path []string, c *nerdctl.Command) {
		f(path, c)
		for _, sub := range c.Commands {
			down(append(slices.Clone(path), sub.Name), sub)
		}
	}
	down(nil, tree())
}

// with is a line with a word after the first n.
func with(path []string, n int, word string) []string {
	return slices.Insert(slices.Clone(path), n, word)
}

// A global flag has the same effect wherever it stands: the line is for the same program and command, which get the same words;
// where it is forwarded, so are its global flags, and those of every line that is derived from it.
func TestAGlobalFlagHasTheSameEffectWhereverItStands(t *testing.T) {
	lines := 0
	each(t, func(path []string, c *nerdctl.Command) {
		for i := range tree().Flags {
			f := &tree().Flags[i]
			if !f.Persistent || len(path) == 0 || slices.ContainsFunc(c.Flags, func(own nerdctl.Flag) bool { return own.Name == f.Name }) {
				continue
			}
			word := "--" + f.Name + "=" + map[string]string{"bool": "true"}[f.Type]
			want := ""
			for n := range len(path) + 1 {
				lines++
				if got := effect(t, path, n, word); n == 0 {
					want = got
				} else if got != want {
					t.Errorf("%q: %s\nwant %s", with(path, n, word), got, want)
				}
			}
		}
	})
	if lines < 1000 {
		t.Errorf("%d lines", lines)
	}
}

// effect is what comes of a line with a flag after the first n words, as text.
func effect(t *testing.T, path []string, n int, word string) string {
	t.Helper()
	line, err := Read(with(path, n, word))
	if err != nil {
		t.Fatalf("%q: %v", with(path, n, word), err)
	}
	r := line.Route
	if !line.Forwarded() {
		// Behind its last word, the line is the own command's to read.
		words := line.Words()
		if n == len(path) {
			at := slices.Index(words, word)
			words = slices.Insert(slices.Delete(words, at, at+1), 0, canonical(t, word))
		}
		return fmt.Sprint(r, words)
	}
	inv, own, err := line.Parse()
	if err != nil {
		return fmt.Sprintf("%v %T", r, err) // it needs arguments
	}
	text := fmt.Sprint(r, inv.Path, words(inv.Globals()), words(own))
	derived, err := inv.Alongside("ps")
	if err != nil {
		t.Fatalf("%q: %v", inv.Argv(), err)
	}
	return text + fmt.Sprint(derived.Argv())
}

// canonical is a global flag's use as a line renders it.
func canonical(t *testing.T, word string) string {
	t.Helper()
	l, err := Read([]string{word, "buildx"})
	if err != nil {
		t.Fatal(err)
	}
	return l.Words()[0]
}

func words(flags []nerdctl.FlagValue) (all []string) {
	for _, v := range flags {
		all = append(all, v.Word())
	}
	return all
}

// Between the words of a path there are flags of compose's and of the tree's top, and no others: Words goes by that.
func TestOnlyComposeHasFlagsOfItsOwnBeforeACommand(t *testing.T) {
	each(t, func(path []string, c *nerdctl.Command) {
		for _, f := range c.Flags {
			if len(c.Commands) > 0 && len(path) > 0 && f.Persistent && !f.Builtin && path[0] != "compose" {
				t.Errorf("%q has --%s", path, f.Name)
			}
		}
	})
}

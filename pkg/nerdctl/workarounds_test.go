package nerdctl

import (
	"slices"
	"strings"
	"testing"
)

func TestMend(t *testing.T) {
	for line, mended := range map[string]bool{
		"run --rm image":                        true,
		"container run --rm -i image sh":        true,
		"run -it --rm image":                    true,
		"run image":                             false, // its log can be asked for afterwards
		"run -d --rm image":                     false, // and this one's meanwhile
		"run --rm --log-driver=json-file image": false,
		"run --rm --log-opt tag=x image":        false,
		"exec box true":                         false,
		"compose run --rm service":              false,
		"ps":                                    false,
	} {
		inv, err := Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		before := inv.Argv()
		got := ApplyWorkarounds(inv).Argv()
		if slices.Contains(got, "--log-driver=none") != mended {
			t.Errorf("%s: became %q", line, got)
		}
		if !slices.Equal(inv.Argv(), before) {
			t.Errorf("%s: the line itself was changed to %q", line, inv.Argv())
		}
	}
}

func TestBuildsAreNoContainers(t *testing.T) {
	for line, want := range map[string]string{
		"ps":                                  "ps --filter=label=nerdctl/namespace",
		"ps -aq -f status=exited":             "ps --all --quiet --filter=status=exited --filter=label=nerdctl/namespace",
		"--namespace=other container list -a": "--namespace=other container ls --all --filter=label=nerdctl/namespace",
		"compose ps":                          "compose ps",
		"volume ls":                           "volume ls",
		"ps --help":                           "ps --help",
	} {
		inv, err := Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(ApplyWorkarounds(inv).Argv(), " "); got != want {
			t.Errorf("%s: became %q, want %q", line, got, want)
		}
	}
}

func TestPruning(t *testing.T) {
	inv, err := Parse(strings.Fields("--namespace=other container prune --force"))
	if err != nil {
		t.Fatal(err)
	}
	list, remove, ok := Pruning(inv)
	if !ok {
		t.Fatal("it is not known")
	}
	if got, want := strings.Join(list.Argv(), " "), "--namespace=other ps --all --no-trunc --format={{.ID}} {{.Status}} --filter=label=nerdctl/namespace"; got != want {
		t.Errorf("lists with %q, want %q", got, want)
	}
	for listed, want := range map[string]string{
		"":                                "",
		"a Up\nb Paused\nc Pausing\n":     "",
		"a Up\nb Exited (0) 1 hour ago\n": "--namespace=other rm --volumes -- b",
		"a Created\nb Restarting (1) now\nc Unknown\n": "--namespace=other rm --volumes -- a b c",
	} {
		got, err := remove(listed)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && got != nil || want != "" && (got == nil || strings.Join(got.Argv(), " ") != want) {
			t.Errorf("%q: removes with %v, want %q", listed, got, want)
		}
	}
	for _, line := range []string{"system prune", "container prune --help", "container rm x"} {
		inv, err := Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ok := Pruning(inv); ok {
			t.Errorf("%s: is not what is meant", line)
		}
	}
}

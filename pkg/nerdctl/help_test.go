package nerdctl_test

import (
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

// TestHelp is a whole help text.
func TestHelp(t *testing.T) {
	const want = `Usage: linnet container export [OPTIONS] CONTAINER

Export a containers filesystem as a tar archive

Flags:
  -h, --help            help for export
  -o, --output string   Write to a file, instead of STDOUT

See also 'linnet --help' for the global flags.
`
	if have := nerdctl.Help(nerdctl.Root().Find("container", "export"), "linnet"); have != want {
		t.Errorf("have\n%s\nwant\n%s", have, want)
	}
}

// TestHelpNamesOnlyTheProgramThatIsRun: in no help is nerdctl told to be run.
func TestHelpNamesOnlyTheProgramThatIsRun(t *testing.T) {
	walk(func(path []string, c *nerdctl.Command) {
		help := nerdctl.Help(c, "linnet")
		if !strings.HasPrefix(help, strings.TrimSpace("Usage: linnet "+strings.Join(path, " "))) {
			t.Errorf("%q: %s", path, help)
		}
		if len(path) > 0 && path[0] == "completion" {
			return // linnet has its own; this one names files called nerdctl
		}
		for _, told := range []string{"nerdctl ", "nerdctl'", "nerdctl`", "nerdctl\n"} {
			if strings.Contains(help, told) && !strings.Contains(help, "containerd/nerdctl") {
				t.Errorf("%q still says %q:\n%s", path, told, help)
			}
		}
	})
}

func TestRename(t *testing.T) {
	for text, want := range map[string]string{
		"nerdctl":                          "linnet",
		"'nerdctl run -d'.":                "'linnet run -d'.",
		"a nerdctl.":                       "a linnet.",
		"nerdctl, and nerdctl":             "linnet, and linnet",
		"profile \"nerdctl-default\"":      "profile \"nerdctl-default\"",
		"nerdctl.toml":                     "nerdctl.toml",
		"github.com/containerd/nerdctl":    "github.com/containerd/nerdctl",
		"nerdctl/bypass4netns":             "nerdctl/bypass4netns",
		"<nerdctl-dev@example.com>":        "<nerdctl-dev@example.com>",
		"NERDCTL_TOML mynerdctl nerdctl_x": "NERDCTL_TOML mynerdctl nerdctl_x",
	} {
		if have := nerdctl.Rename(text, "linnet"); have != want {
			t.Errorf("%q: have %q, want %q", text, have, want)
		}
	}
}

// TestCompletionKnowsKinds: what words are completed to comes with the tables.
func TestCompletionKnowsKinds(t *testing.T) {
	for _, c := range []struct {
		path  string
		index int
		want  nerdctl.Completion
	}{
		{"stop", 0, nerdctl.Containers},
		{"stop", 3, nerdctl.Containers},
		{"run", 0, nerdctl.Images},
		{"run", 1, 0},
		{"exec", 0, nerdctl.Containers},
		{"exec", 1, 0},
		{"start", 1, nerdctl.Containers},
		{"rename", 2, 0},
		{"volume rm", 0, nerdctl.Volumes},
		{"network rm", 0, nerdctl.Networks},
		{"namespace inspect", 0, nerdctl.Namespaces},
		{"inspect", 0, nerdctl.Containers | nerdctl.Images},
		{"build", 0, nerdctl.Directories},
		{"cp", 1, nerdctl.Containers | nerdctl.Files},
		{"import", 0, nerdctl.Files},
		{"import", 1, nerdctl.Images},
	} {
		cmd := nerdctl.Root().Find(strings.Fields(c.path)...)
		if have := cmd.CompletesArg(c.index); have != c.want {
			t.Errorf("%s: argument %d completes to %b, want %b", c.path, c.index, have, c.want)
		}
	}
	run := nerdctl.Root().Find("run")
	if have := run.Flag("pull").Values; len(have) != 3 {
		t.Errorf("--pull offers %q", have)
	}
}

package nerdctl

import (
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/crossing"
)

// A container that nerdctl would have removed at its end is removed although nerdctl did not
// live to see it.
func TestAbandonedRunIsUndone(t *testing.T) {
	const script = `test -s "$0" && exec nerdctl rm --force -- "$(cat "$0")"`
	for _, c := range []struct {
		line, argv string
		undo       []string
	}{
		{"run --rm image", "run --rm --cidfile=/stage/cid image", []string{"sh", "-c", script, "/stage/cid"}},
		{"container run --rm -it image sh", "container run --rm --interactive --tty --cidfile=/stage/cid image sh", []string{"sh", "-c", script, "/stage/cid"}},
		{"run --rm --cidfile /seen/id image", "run --rm --cidfile=/seen/id image", []string{"sh", "-c", script, "/seen/id"}},
		{"run --rm --cidfile /hidden/id image", "run --rm --cidfile=/stage/out0-id image", []string{"sh", "-c", script, "/stage/out0-id"}},
		{"run image", "run image", nil},
		{"run --rm -d image", "run --rm --detach image", nil},
		{"compose run --rm service", "compose run --rm service", nil},
		{"exec box true", "exec box true", nil},
	} {
		t.Run(c.line, func(t *testing.T) {
			inv, err := Parse(strings.Fields(c.line))
			if err != nil {
				t.Fatal(err)
			}
			plan, err := Localize(inv, crossing.Host{
				Dir: "/seen", Home: "/seen",
				LookupEnv: func(string) (string, bool) { return "", false },
				Visible: func(path string) (string, bool, error) {
					if strings.HasPrefix(path, "/hidden") {
						return "", false, &crossing.ReadOnlyError{Host: path}
					}
					return path, false, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			plan.WithCancelCleanup()
			path := func(name string) string { return "/stage/" + name }
			if got := strings.Join(plan.Argv(path), " "); got != c.argv {
				t.Errorf("runs %q, want %q", got, c.argv)
			}
			if got := plan.OnCancel(path); !slices.Equal(got, c.undo) {
				t.Errorf("undone by %q, want %q", got, c.undo)
			}
			if plan.Direct() != !strings.Contains(c.argv, "/stage/") {
				t.Errorf("direct: %v", plan.Direct())
			}
		})
	}
}

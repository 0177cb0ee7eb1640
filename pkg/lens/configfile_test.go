package lens_test

import (
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/lens"
)

func TestAConfigurationIsRead(t *testing.T) {
	c, err := lens.ReadConfig("lens.yaml", `# the project's
levels: {base-digest: warning, StageNameCasing: off}
budgets: {context: 5MiB, file: 2kb, layers: 7}
allow:
  registries: [registry.example.com]
exclude: [third_party, "**/old"]
ignore:
  - check: user-root
    path: tools/*
    reason: "it is: a tool"
    until: 2027-01-31
`, today)
	if err != nil {
		t.Fatal(err)
	}
	if *c.Levels["base-digest"] != lens.Warning || *c.Levels["StageNameCasing"] != lens.Off {
		t.Errorf("levels are %v", c.Levels)
	}
	if want := (lens.Budgets{Context: 5 << 20, File: 2 << 10, Image: 1 << 30, Layers: 7}); c.Budgets != want {
		t.Errorf("budgets are %+v", c.Budgets)
	}
	if len(c.Registries) != 1 || !c.Excluded("third_party/a/Dockerfile") || !c.Excluded("x/old") || c.Excluded("x/new") {
		t.Errorf("it is %+v", c)
	}
	if ig := c.Ignores[0]; ig.ID != "user-root" || ig.Path != "tools/*" || ig.Reason != "it is: a tool" || ig.Until.Day() != 31 || ig.Line != 8 {
		t.Errorf("the ignore is %+v", ig)
	}
}

// A mistake is told with its line and what would be right; all are, at once.
func TestMistakesOfAConfiguration(t *testing.T) {
	const keys = "the keys: levels, budgets, allow, exclude, ignore"
	for text, want := range map[string][2]string{
		"level: {}\n":                        {"reading lens.yaml:1: level: unknown key", keys},
		"levels: {base-tga: off}\n":          {"reading lens.yaml:1: levels.base-tga: there is no such check to give a level", "linnet lint --list names the checks"},
		"levels: {unreadable: off}\n":        {"reading lens.yaml:1: levels.unreadable: there is no such check to give a level", "linnet lint --list names the checks"},
		"levels:\n  base-tag: bad\n":         {`reading lens.yaml:2: levels.base-tag: "bad" is no level`, "one of off, info, warning, error"},
		"levels: off\n":                      {"reading lens.yaml:1: levels: it is no section", "write CHECK: LEVEL, one a line"},
		"budgets:\n  contxt: 1\n":            {"reading lens.yaml:2: budgets.contxt: unknown key", "the keys in budgets: context, file, image, layers"},
		"budgets:\n  context: much\n":        {`reading lens.yaml:2: budgets.context: "much" is no size`, "write it like 100MiB"},
		"budgets:\n  layers: 0\n":            {`reading lens.yaml:2: budgets.layers: "0" is no number above 0`, "write it like 40"},
		"budgets:\n":                         {"reading lens.yaml:1: budgets: it has no value", "remove the line to have the default"},
		"budgets: 3\n":                       {"reading lens.yaml:1: budgets: it is no section", "its keys: context, file, image, layers"},
		"allow: {registries: a}\n":           {"reading lens.yaml:1: allow.registries: it is no list", `try ["a"]`},
		"exclude: [\"[\"]\n":                 {"reading lens.yaml:1: exclude: a pattern is wrong: syntax error in pattern", "patterns are those of a .dockerignore"},
		"ignore: {}\n":                       {"reading lens.yaml:1: ignore: it is no list", `write entries like "- {check: ID, reason: WHY}"`},
		"ignore:\n- reason: a\n":             {"reading lens.yaml:2: ignore[0]: it has no check", "check: ID; linnet lint --list names the checks"},
		"ignore:\n- check: sudo\n":           {"reading lens.yaml:2: ignore[0]: it has no reason", "reason: WHY"},
		"ignore:\n- {check: a, reason: b}\n": {`reading lens.yaml:2: ignore[0].check: there is no check "a"`, "linnet lint --list names the checks"},
		"ignore:\n- {check: sudo, reason: b, until: tomorrow}\n": {`reading lens.yaml:2: ignore[0].until: "tomorrow" is no day`, "write it like 2027-01-31"},
		"ignore:\n- {check: sudo, reason: b, unto: tomorrow}\n":  {"reading lens.yaml:2: ignore[0].unto: unknown key", "the keys in ignore[0]: check, path, reason, until"},
		"- a\n":                     {"reading lens.yaml:1: it is no section", `write it like "levels: {base-digest: off}"`},
		"a: [\n":                    {"reading lens.yaml:1: it is not YAML: sequence end token ']' not found", ""},
		"a: 1\nlevels: {sudo: 3}\n": {"reading lens.yaml: 2 problems\nlens.yaml:1: a: unknown key\nhint: " + keys + "\nlens.yaml:2: levels.sudo: \"3\" is no level\nhint: one of off, info, warning, error", ""},
	} {
		_, err := lens.ReadConfig("lens.yaml", text, today)
		if err == nil || err.Error() != want[0] || hint.Of(err) != want[1] {
			t.Errorf("%q: %v (hint: %s)\nwant %s (hint: %s)", text, err, hint.Of(err), want[0], want[1])
		}
	}
}

package cli

import (
	"strings"
	"testing"
)

func TestComposeWord(t *testing.T) {
	for line, want := range map[string]string{
		"up -d":                                  "up",
		"-f a.yaml --file b.yaml build":          "build",
		"-p up ps":                               "ps",
		"--project-name=x --profile build run a": "run",
		"--debug-full -pup create":               "create",
		"--env-file":                             "",
		"--nope up":                              "up",
		"":                                       "",
	} {
		if got := ComposeWord(strings.Fields(line)); got != want {
			t.Errorf("compose %s: %q, want %q", line, got, want)
		}
	}
}

func TestComposeIsElsewhereOnlyWhereItMayBuild(t *testing.T) {
	for line, want := range map[string]bool{
		"compose up": true, "compose -f x build": true, "compose run a": true, "compose create": true,
		"compose ps": false, "compose down": false, "compose": false, "compose logs build": false,
		"help compose build": false, "__complete compose build ": false,
	} {
		if got := elsewhere(strings.Fields(line)); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
}

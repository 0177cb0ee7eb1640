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

func TestEachWordIsForItsProgram(t *testing.T) {
	for program, lines := range map[string][]string{
		buildProgram: {
			"build .", "cache", "cache ls", "image build .", "builder build .", "builder prune -f", "buildx build .", "buildx prune", "buildx du",
			"system prune", "system prune -a", "help build", "help cache prune", "__complete build --", "__completeNoDesc cache ", "__complete image build --",
		},
		composeProgram: {
			"compose build", "compose up", "compose create", "compose run a", "compose -f x build", "compose -p ps --profile=a up -d",
		},
		"": {
			"", "run a", "image ls", "builder", "buildx", "buildx ls", "system df", "nerdctl build .", "help", "help run", "__complete", "__complete run --",
			"compose", "compose ps", "compose down", "compose logs build", "compose -p up ps", "compose --help", "help compose build", "__complete compose build ",
			"--quiet build .", "--debug-full compose up", // the tree finds those
		},
	} {
		for _, line := range lines {
			if got := elsewhere(strings.Fields(line)); got != program {
				t.Errorf("%q is for %q, want %q", line, got, program)
			}
		}
	}
}

// Package docs_test holds what is written for people to what is there: links, files, make
// targets and commands that a document names have to exist.
package docs_test

import (
	"encoding/xml"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/buildcmd"
	"github.com/linnet-dev/linnet/pkg/cli/composecmd"
	"github.com/linnet-dev/linnet/pkg/cli/lintcmd"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

const root = ".."

// documents are the Markdown files of the repository, by their paths from its root.
func documents(t *testing.T) []string {
	t.Helper()
	var docs []string
	for _, pattern := range []string{"*.md", "*/*.md", "*/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, name)
		}
	}
	for _, must := range []string{"README.md", "docs/architecture.md", "docs/troubleshooting.md"} {
		if !slices.Contains(docs, must) {
			t.Errorf("%s was not looked at", must)
		}
	}
	return docs
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

var (
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span = regexp.MustCompile("`([^`\n]+)`")
	// block is a line of a code block; a list's second line is not indented so far.
	block = regexp.MustCompile(`(?m)^(?:    |\t)(.+)$`)
)

// code is what stands in backticks or in a block of a document.
func code(text string) (pieces []string) {
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		pieces = append(pieces, m[1])
	}
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		command, _, _ := strings.Cut(m[1], " #")
		pieces = append(pieces, command)
	}
	return pieces
}

var (
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	silent  = regexp.MustCompile(`[^\w\- ]`)
)

// anchors are what a link can name in a page: its headings, as GitHub writes them.
func anchors(text string) (names []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		names = append(names, strings.ReplaceAll(silent.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return names
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, doc := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, doc), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			page := doc
			if target != "" {
				page = filepath.Join(filepath.Dir(doc), target)
			}
			if !exists(page) || anchor != "" && !slices.Contains(anchors(read(t, page)), anchor) {
				t.Errorf("%s links to %s, which is not there", doc, m[1])
			}
		}
	}
}

// The first words of a page say when to read it, before anything else does.
func TestPagesBeginWithWhenToUseThem(t *testing.T) {
	begins := regexp.MustCompile(`^# .+\n\n(?:Read this|Use it) `)
	for _, doc := range documents(t) {
		if filepath.Dir(doc) == "docs" && !begins.MatchString(read(t, doc)) {
			t.Errorf("%s does not begin with when to read it", doc)
		}
	}
}

// A path of the repository, in backticks, is written from its root.
var ours = regexp.MustCompile(`^(?:(?:cmd|pkg|config|deps|e2e|installer|examples|docs|\.ci|\.github|\.devcontainer)/[\w./-]*|Makefile|LICENSE|go\.(?:mod|sum)|\.golangci\.yml|\w+\.(?:go|md))$`)

// planned are paths that documents may name before they are there. The change that adds one of them
// takes it out here, and its author has a look at what the documents say of it.
var planned = []string{}

func TestFilesThatAreNamedExist(t *testing.T) {
	named := 0
	for _, doc := range documents(t) {
		for _, m := range span.FindAllStringSubmatch(read(t, doc), -1) {
			if !ours.MatchString(m[1]) {
				continue
			}
			named++
			if !exists(m[1]) && !slices.Contains(planned, m[1]) {
				t.Errorf("%s names %s, which is not there", doc, m[1])
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d files are named: they are no longer recognized", named)
	}
	for _, p := range planned {
		if exists(p) {
			t.Errorf("%s is there: it is no longer planned", p)
		}
	}
}

var (
	made   = regexp.MustCompile(`(?:^|\s)make((?: [a-z][a-z0-9-]*)+)`)
	target = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
)

func TestMakeTargetsThatAreNamedExist(t *testing.T) {
	var targets []string
	for _, m := range target.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets = append(targets, m[1])
	}
	for _, doc := range documents(t) {
		for _, piece := range code(read(t, doc)) {
			for _, m := range made.FindAllStringSubmatch(piece, -1) {
				for _, name := range strings.Fields(m[1]) {
					if !slices.Contains(targets, name) {
						t.Errorf("%s says `make %s`, and there is no such target", doc, name)
					}
				}
			}
		}
	}
}

var command = regexp.MustCompile(`(?:^|[\s(])linnet((?: [a-z][a-z-]*)+)`)

func TestCommandsThatAreNamedExist(t *testing.T) {
	named := 0
	for _, doc := range documents(t) {
		for _, piece := range code(read(t, doc)) {
			for _, m := range command.FindAllStringSubmatch(piece, -1) {
				named++
				if problem := unknown(t, strings.Fields(m[1])); problem != "" {
					t.Errorf("%s says `%s`: %s", doc, piece, problem)
				}
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d commands are named: they are no longer recognized", named)
	}
}

// unknown follows words down the tree of commands, by what linnet's own help says, until one
// that is no group: what comes then are arguments.
func unknown(t *testing.T, words []string) string {
	if words[0] == "vm" {
		words[0] = "engine" // its other name
	}
	if len(words) > 1 && words[1] == "prune" && (words[0] == "builder" || words[0] == "buildx") {
		words[0] = "cache" // docker's other names
	}
	for n := 1; n <= len(words); n++ {
		if n == 1 && (words[0] == "image" || words[0] == "system") && len(words) > 1 {
			continue // the group is nerdctl's, and where linnet has more in it, that program's alone
		}
		path := strings.Join(words[:n], " ")
		help := help(t, words[:n])
		if !regexp.MustCompile(`Usage:\s+linnet ` + path + `\b`).MatchString(help) {
			return "there is no command " + path
		}
		if !strings.Contains(help, "Commands:\n") {
			break
		}
	}
	return ""
}

func help(t *testing.T, words []string) string {
	t.Helper()
	if words[0] == "nerdctl" {
		return "Usage: linnet nerdctl ARGS..." // hands --help on, too
	}
	s, _, out, errs := streams.Test()
	var program route.Program
	switch words[0] {
	case "build", "cache", "builder", "buildx":
		program = route.Build
	case "compose":
		program = route.Compose
	case "lint":
		program = route.Lint
	default:
		program = route.Of(words).Program
	}
	if code := cli.Main(t.Context(), program, append(slices.Clone(words), "--help"), s, buildcmd.Commands, composecmd.Commands, lintcmd.Commands); code != 0 {
		t.Logf("linnet %q --help: exit code %d: %s", words, code, errs)
	}
	return out.String()
}

// The picture is read by browsers, which want XML, and by screen readers, which want a title and a description. It is made on a developer's
// machine, which must not show.
func TestThePictureIsWellFormedAndShowsNoMachine(t *testing.T) {
	const picture = "docs/terminal.svg"
	if !strings.Contains(read(t, "README.md"), "]("+picture+")") {
		t.Errorf("README.md does not show %s", picture)
	}
	text := read(t, picture)
	var svg struct {
		XMLName xml.Name `xml:"http://www.w3.org/2000/svg svg"`
		Title   string   `xml:"title"`
		Desc    string   `xml:"desc"`
		Rows    []string `xml:"text"`
	}
	if err := xml.Unmarshal([]byte(text), &svg); err != nil {
		t.Fatalf("%s: %v", picture, err)
	}
	if svg.Title == "" || svg.Desc == "" || len(svg.Rows) < 10 {
		t.Errorf("%s has the title %q, the description %q and %d rows", picture, svg.Title, svg.Desc, len(svg.Rows))
	}
	for what, pattern := range map[string]string{"a home directory": `/(?:home|root|Users)/\w|/tmp/\w`, "how long something took": `\d\.\d+ ?m?s\b`, "a digest or an ID": `[0-9a-f]{12}`} {
		if found := regexp.MustCompile(pattern).FindString(text); found != "" {
			t.Errorf("%s shows %s: %q", picture, what, found)
		}
	}
}

// Words that a newcomer of this field stumbles on, and what is said instead. (In paths and names of what is not ours they may stand.)
var stumbles = regexp.MustCompile(`(?i)\b(over there|over here|(?:on|of) this side|says? whether|folders?|see(?:s|ing)? to it that|farside|somebody|whoever|nobody)\b`)

// quoted is what a document shows, and paths of the repository.
var quoted = regexp.MustCompile("`[^`\n]+`|pkg/[a-z/]+")

// The field's and Go's words are used, and one for one thing: a directory, in the guest, on the host, reports whether;
// and who acts is named: a client, a process, another user. (The account is "the user nobody".)
func TestWordsAreTheFields(t *testing.T) {
	for _, doc := range documents(t) {
		for i, line := range strings.Split(quoted.ReplaceAllString(read(t, doc), ""), "\n") {
			if word := stumbles.FindString(line); word != "" {
				t.Errorf("%s:%d says %q", doc, i+1, word)
			}
		}
	}
	comment := regexp.MustCompile(`(?m)(?:^|\s)//.*$`)
	for _, dir := range []string{"cmd", "config", "deps", "docs", "e2e", "pkg"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") || strings.HasSuffix(path, "_gen.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, line := range comment.FindAllString(string(text), -1) {
				if word := stumbles.FindString(strings.ReplaceAll(line, "user nobody", "")); word != "" {
					t.Errorf("%s says %q: %s", path, word, strings.TrimSpace(line))
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

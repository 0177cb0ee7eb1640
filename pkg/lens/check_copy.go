package lens

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func copyChecks() []*Check {
	return []*Check{
		{
			ID: "add-local", Title: "COPY, where ADD does no more", Level: Warning, Questions: []string{"COST_04"}, Practices: []string{"copy-over-add"},
			Why:        "ADD unpacks archives and fetches addresses; COPY does what it says.",
			Fix:        "write COPY",
			URL:        "https://docs.docker.com/build/building/best-practices/#add-or-copy",
			dockerfile: checkAddLocal,
		},
		{
			ID: "add-checksum", Title: "What is fetched has a checksum", Level: Warning, Questions: []string{"COST_04", "SEC_04"}, Practices: []string{"copy-over-add"},
			Why:        "An address may answer with something else tomorrow.",
			Fix:        "ADD --checksum=sha256:...",
			dockerfile: checkAddChecksum,
		},
		{
			ID: "remote-script", Title: "No script is run as it is fetched", Level: Warning, Questions: []string{"SEC_04"}, Practices: []string{"copy-over-add"},
			Why:        "A script that goes from the network to a shell is run whatever it says, and a download that breaks off runs in part.",
			Fix:        "ADD --checksum=sha256:... the script, then run the file",
			dockerfile: checkRemoteScript,
		},
		{
			ID: "removed-later", Title: "Nothing is removed in a later layer", Level: Warning, Questions: []string{"COST_04"}, Practices: []string{"removed-later"},
			Why:        "A file that a later step removes is still fetched with the layer that has it.",
			Fix:        "remove it in the step that makes it, or mount it: RUN --mount=type=bind",
			dockerfile: checkRemovedLater,
		},
		{
			ID: "cd-alone", Title: "WORKDIR, not cd", Level: Warning, Questions: []string{"COST_04"}, Practices: []string{"workdir"},
			Why:        "The directory that a RUN changes to is forgotten when it ends.",
			Fix:        "WORKDIR DIRECTORY",
			dockerfile: checkCd,
		},
	}
}

// archives are the endings of what ADD unpacks.
var archives = regexp.MustCompile(`(?i)\.(tar|tgz|tbz2?|txz|tzst|tar\.(gz|bz2|xz|zst))$`)

func isRemote(source string) bool {
	return strings.Contains(source, "://") || strings.HasPrefix(source, "git@")
}

func checkAddLocal(d *Dockerfile, _ *Config) (all []found) {
	d.steps(func(_ *Stage, s *Step) {
		c, ok := s.Command.(*instructions.AddCommand)
		if !ok || len(c.SourcePaths) == 0 || c.Unpack != nil {
			return
		}
		for _, src := range c.SourcePaths {
			if isRemote(src) || archives.MatchString(src) || strings.Contains(src, "$") {
				return
			}
		}
		all = append(all, found{line: s.Line, end: s.End, text: fmt.Sprintf("ADD %s is a plain copy", c.SourcePaths[0])})
	})
	return all
}

func checkAddChecksum(d *Dockerfile, _ *Config) (all []found) {
	d.steps(func(_ *Stage, s *Step) {
		c, ok := s.Command.(*instructions.AddCommand)
		if !ok || c.Checksum != "" {
			return
		}
		for _, src := range c.SourcePaths {
			if strings.HasPrefix(src, "http://") || strings.HasPrefix(src, "https://") && !isGit(src) {
				all = append(all, found{line: s.Line, end: s.End, text: fmt.Sprintf("ADD %s has no checksum", withoutUser(src))})
			}
		}
	})
	return all
}

// isGit reports whether BuildKit clones an address: its commit can be named there.
func isGit(address string) bool {
	address, _, _ = strings.Cut(address, "#")
	return strings.HasSuffix(address, ".git")
}

var userOfAddress = regexp.MustCompile(`://[^/@\s]*@`)

// withoutUser is an address without the user and the password in it.
func withoutUser(address string) string { return userOfAddress.ReplaceAllString(address, "://") }

func checkRemoteScript(d *Dockerfile, _ *Config) (all []found) {
	shells := map[string]bool{"sh": true, "bash": true, "ash": true, "zsh": true, "dash": true, "python": true, "python3": true, "node": true, "perl": true}
	d.steps(func(_ *Stage, s *Step) {
		fetched := ""
		for _, c := range calls(s.Script) {
			switch name := c.name(); {
			case name == "curl" || name == "wget":
				fetched = name
			case c.Piped && shells[name] && fetched != "":
				all = append(all, found{line: d.lineOf(s, fetched), end: s.End, text: fmt.Sprintf("what %s fetches is run by %s at once", fetched, name)})
			}
		}
	})
	return all
}

func checkRemovedLater(d *Dockerfile, _ *Config) (all []found) {
	in := d.lineage()
	for i := range d.Stages {
		if !in[i] {
			continue
		}
		made := map[string]int{} // paths, with the line that made them
		dir := "/"
		for j := range d.Stages[i].Steps {
			s := &d.Stages[i].Steps[j]
			if w, ok := s.Command.(*instructions.WorkdirCommand); ok {
				dir = within(dir, w.Path)
			}
			for _, c := range calls(s.Script) {
				if c.name() != "rm" {
					continue
				}
				for _, arg := range c.args() {
					if line, ok := made[within(dir, arg)]; ok {
						all = append(all, found{line: d.lineOf(s, "rm "), end: s.End, text: fmt.Sprintf("%s is removed, and stays in the layer of line %d", arg, line)})
					}
				}
			}
			for _, target := range madeBy(s, dir) {
				made[target] = s.Line
			}
		}
	}
	return all
}

// within is a path as a step in a directory means it.
func within(dir, p string) string {
	if strings.HasPrefix(p, "/") {
		return path.Clean(p)
	}
	return path.Join(dir, p)
}

// madeBy are the files that a step makes by name: those that it copies one by one, and those that it downloads.
func madeBy(s *Step, dir string) (all []string) {
	var dest string
	switch c := s.Command.(type) {
	case *instructions.CopyCommand:
		dest = c.DestPath
	case *instructions.AddCommand:
		dest = c.DestPath
	}
	if dest != "" {
		sources, _ := sourcesOf(s)
		for _, src := range sources {
			target := within(dir, dest)
			if strings.HasSuffix(dest, "/") || dest == "." || len(sources) > 1 {
				target = path.Join(target, path.Base(src))
			}
			if !strings.ContainsAny(src, "*?[$") && path.Base(src) != "." {
				all = append(all, target)
			}
		}
	}
	for _, c := range calls(s.Script) {
		words := c.plain()
		for i, w := range words[:max(0, len(words)-1)] {
			if c.name() == "curl" && (w == "-o" || w == "--output" || strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--") && strings.HasSuffix(w, "o")) || c.name() == "wget" && (w == "-O" || strings.HasPrefix(w, "-") && strings.HasSuffix(w, "O")) {
				all = append(all, within(dir, words[i+1]))
			}
		}
	}
	return all
}

func checkCd(d *Dockerfile, _ *Config) (all []found) {
	d.steps(func(_ *Stage, s *Step) {
		if c := calls(s.Script); len(c) > 0 && c[len(c)-1].name() == "cd" && len(c[len(c)-1].Words) > 1 && !strings.Contains(s.Script.Text, "(cd") {
			all = append(all, found{line: d.lineOf(s, "cd "), end: s.End, text: fmt.Sprintf("the step ends with cd %s, which the next one does not know", c[len(c)-1].Words[1]), fix: "WORKDIR " + c[len(c)-1].Words[1]})
		}
	})
	return all
}
